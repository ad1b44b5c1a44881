package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
)

// An adminClient talks to the admin API of a running surrogate.
type adminClient struct {
	addr, token string
}

// bind makes fs set c. Without flags it takes the variables that serve takes.
func (c *adminClient) bind(fs *flag.FlagSet, p *program) {
	fs.StringVar(&c.addr, "admin", cmp.Or(p.variable("SURROGATE_ADMIN"), "127.0.0.1:8081"), "`address` of the admin API")
	fs.StringVar(&c.token, "token", "", "`token` that the admin API asks for (default SURROGATE_ADMIN_TOKEN)")
	if c.token = p.variable("SURROGATE_ADMIN_TOKEN"); c.token != "" {
		fs.Lookup("token").DefValue = "" // not to be printed
	}
}

// url is the address of a route.
func (c *adminClient) url(route string) string {
	at := strings.TrimSuffix(c.addr, "/")
	if !strings.Contains(at, "://") {
		if host, port, err := net.SplitHostPort(at); err == nil {
			if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
				host = "127.0.0.1"
			}
			at = net.JoinHostPort(host, port)
		}
		at = "http://" + at
	}
	return at + route
}

// get returns the body of a successful answer.
func (c *adminClient) get(route string) ([]byte, error) {
	body, _, err := c.do(http.MethodGet, route, nil)
	return body, err
}

// do asks. An answer that is a failure is an error which says what the answer
// said.
func (c *adminClient) do(method, route string, ask any) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	if ask == nil {
		return c.send(ctx, method, route, "", nil)
	}
	b, err := json.Marshal(ask)
	if err != nil {
		return nil, 0, fmt.Errorf("couldn't put the question: %w", err)
	}
	return c.send(ctx, method, route, "application/json", bytes.NewReader(b))
}

// send is do with content that may take its time, until ctx ends.
func (c *adminClient) send(ctx context.Context, method, route, contentType string, content io.Reader) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url(route), content)
	if err != nil {
		return nil, 0, fmt.Errorf("couldn't ask the admin API: %w", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return nil, 0, fmt.Errorf("couldn't reach the admin API: %w; --admin says where it is", op)
		}
		return nil, 0, fmt.Errorf("couldn't ask the admin API: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("couldn't read the answer of the admin API: %w", err)
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case mediaType == "application/problem+json":
		return nil, resp.StatusCode, refusal(resp, body)
	case mediaType != "application/json" || resp.StatusCode >= 300:
		return nil, resp.StatusCode, fmt.Errorf("%s is not surrogate's admin API (it answered %s); --admin says where that is",
			c.url(""), strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", mediaType)))
	}
	return body, resp.StatusCode, nil
}

// refusal is the error for a problem document, in the words of the command line.
func refusal(resp *http.Response, body []byte) error {
	var doc struct {
		Detail string
		Errors []struct{ Pointer, Detail, Accepted string }
	}
	if json.Unmarshal(body, &doc) != nil || doc.Detail == "" {
		return fmt.Errorf("%s: %.300s", resp.Status, strings.TrimSpace(string(body)))
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized && resp.Request.Header.Get("Authorization") != "":
		return errors.New("the admin API does not accept this token")
	case resp.StatusCode == http.StatusUnauthorized:
		return errors.New("the admin API needs its token: give --token or SURROGATE_ADMIN_TOKEN")
	case len(doc.Errors) == 0:
		return errors.New(doc.Detail)
	}
	var err error
	if resp.Request.Method == http.MethodPost {
		err = errors.New("nothing was done")
	}
	for _, e := range doc.Errors {
		line := strings.TrimPrefix(flagOf(e.Pointer)+": "+e.Detail, ": ")
		if accepted := strings.TrimPrefix(e.Accepted, "a list of "); accepted != "" {
			line += " (accepted: " + accepted + ")"
		}
		err = errors.Join(err, errors.New(line))
	}
	return err
}

// flagOf is the flag that a JSON pointer into a purge stands for.
func flagOf(pointer string) string {
	member, isPointer := strings.CutPrefix(pointer, "#/")
	if !isPointer {
		return pointer
	}
	member, _, _ = strings.Cut(member, "/")
	for plural, flag := range map[string]string{"tags": "tag", "keys": "key", "urls": "url", "prefixes": "prefix", "hosts": "host", "dry_run": "dry-run"} {
		if member == plural {
			member = flag
		}
	}
	return "--" + member
}

func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("couldn't understand the answer of the admin API: %w", err)
	}
	return nil
}
