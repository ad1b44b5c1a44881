package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestInside(t *testing.T) {
	seen := make(chan *http.Request, 1)
	ended := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/plain":
			seen <- r
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("X-A", "1")
			w.WriteHeader(201)
			w.Header().Set("X-Late", "1")
			io.WriteString(w, "body")
		case "/nothing":
		case "/abort":
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "/endless":
			var err error
			for err == nil {
				_, err = fmt.Fprintln(w, "more")
			}
			<-r.Context().Done()
			ended <- err
		case "/silent":
			<-r.Context().Done()
			ended <- context.Cause(r.Context())
		}
	})
	get := func(url string) *http.Response {
		t.Helper()
		resp, err := inside(t.Context(), h, url, http.Header{"X-Asked": {"1"}})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := get("https://shop.example:8443/plain?a=%20b")
	body, err := io.ReadAll(resp.Body)
	r := <-seen
	if resp.StatusCode != 201 || resp.Header.Get("X-A") != "1" || resp.Header.Get("X-Late") != "" || string(body) != "body" || err != nil {
		t.Errorf("%d %v %q %v", resp.StatusCode, resp.Header, body, err)
	}
	if r.Host != "shop.example:8443" || r.RequestURI != "/plain?a=%20b" || r.TLS == nil || r.Header.Get("X-Asked") != "1" || r.Header.Get("User-Agent") == "" {
		t.Errorf("%s %s %v %v", r.Host, r.RequestURI, r.TLS, r.Header)
	}
	resp = get("http://shop.example/nothing")
	if body, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || len(body) != 0 || err != nil {
		t.Errorf("%d %q %v", resp.StatusCode, body, err)
	}
	resp = get("http://shop.example/abort")
	if body, err := io.ReadAll(resp.Body); string(body) != "half" || err == nil {
		t.Errorf("%q %v", body, err)
	}
	resp = get("http://shop.example/endless")
	if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	resp.Body.Close()
	if err := <-ended; err == nil {
		t.Error("the handler could write on to nobody")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(errors.New("enough"))
	if _, err := inside(ctx, h, "http://shop.example/silent", nil); err == nil || err.Error() != "enough" {
		t.Error(err)
	}
	if err := <-ended; err == nil || err.Error() != "enough" {
		t.Error(err)
	}
	for _, bad := range []string{"", "ftp://x/", "http:///x", "http://u:p@x/", "/x"} {
		if _, err := inside(t.Context(), h, bad, nil); err == nil || strings.Contains(bad, "silent") {
			t.Errorf("%q was asked for", bad)
		}
	}
}
