package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
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
	var content io.Reader
	if ask != nil {
		b, err := json.Marshal(ask)
		if err != nil {
			return nil, 0, fmt.Errorf("couldn't put the question: %w", err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, c.url(route), content)
	if err != nil {
		return nil, 0, fmt.Errorf("couldn't ask the admin API: %w", err)
	}
	if ask != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	client := http.Client{Timeout: 90 * time.Second}
	resp, err := client.Do(req)
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
	if resp.StatusCode >= 300 {
		return nil, resp.StatusCode, refusal(resp, body)
	}
	return body, resp.StatusCode, nil
}

// refusal is the error for an answer that is a failure.
func refusal(resp *http.Response, body []byte) error {
	var doc struct {
		Detail string
		Errors []struct{ Pointer, Detail, Accepted string }
	}
	if json.Unmarshal(body, &doc) != nil || doc.Detail == "" {
		return fmt.Errorf("%s: %.300s", resp.Status, strings.TrimSpace(string(body)))
	}
	err := errors.New(doc.Detail)
	if resp.StatusCode == http.StatusUnauthorized {
		err = errors.New("the admin API needs its token: give --token or SURROGATE_ADMIN_TOKEN")
	}
	for _, e := range doc.Errors {
		line := strings.TrimPrefix(e.Pointer+": "+e.Detail, ": ")
		if e.Accepted != "" {
			line += " (accepted: " + e.Accepted + ")"
		}
		err = errors.Join(err, errors.New(line))
	}
	return err
}

func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("couldn't understand the answer of the admin API: %w", err)
	}
	return nil
}
