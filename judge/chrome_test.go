package judge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A chrome is a headless Chromium, spoken to in its DevTools protocol over a
// pair of pipes: JSON messages, each ended by a zero byte.
type chrome struct {
	*process
	to io.Writer

	mu      sync.Mutex // guards the fields below
	last    int        // id of the last command
	waiting map[int]chan reply
	events  map[string]chan event // by session
}

// An event is something that happened in a page.
type event struct {
	Method string
	Params json.RawMessage
}

type reply struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// startChrome starts a browser with nothing in it that takes every host to be
// at addr, so that a site has the same URLs with and without a proxy.
func startChrome(t *testing.T, addr string, flags ...string) *chrome {
	t.Helper()
	cmd := exec.Command("chromium", append(flags, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "--host-resolver-rules=MAP * "+addr, "--no-proxy-server")...)
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, theirs2, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirs, theirs2} // 3 is read by it, 4 written
	c := &chrome{process: start(t, cmd), to: to, waiting: map[int]chan reply{}, events: map[string]chan event{}}
	theirs.Close()
	theirs2.Close()
	var reading sync.WaitGroup
	reading.Go(func() { c.read(from) })
	t.Cleanup(func() {
		c.stop(t)
		to.Close()
		reading.Wait() // its end of the pipe is closed, now that it has ended
		from.Close()
	})
	return c
}

// read hands on what the browser says until it ends.
func (c *chrome) read(from io.Reader) {
	in := bufio.NewReader(from)
	for {
		b, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID        int
			SessionID string
			reply
			event
		}
		if json.Unmarshal(b[:len(b)-1], &m) != nil {
			continue
		}
		c.mu.Lock()
		if m.ID != 0 {
			c.waiting[m.ID] <- m.reply // has room for it
			delete(c.waiting, m.ID)
		} else if ch := c.events[m.SessionID]; ch != nil {
			select {
			case ch <- m.event:
			default: // nobody has looked for thousands of events: the page will be found incomplete
			}
		}
		c.mu.Unlock()
	}
}

// call sends a command and unmarshals its result into result, if that is not nil.
// It is for one goroutine: the test's.
func (c *chrome) call(ctx context.Context, session, method string, params, result any) error {
	answer := make(chan reply, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.waiting[id] = answer
	c.mu.Unlock()
	msg := map[string]any{"id": id, "method": method}
	if params != nil {
		msg["params"] = params
	}
	if session != "" {
		msg["sessionId"] = session
	}
	b, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	if _, err := c.to.Write(append(b, 0)); err != nil {
		return fmt.Errorf("%s: %v", method, err)
	}
	select {
	case r := <-answer:
		if r.Error != nil {
			return fmt.Errorf("%s: %s", method, r.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(r.Result, result)
	case <-c.done:
		return fmt.Errorf("%s: the browser has ended: %s", method, c.out)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// A tab is a page of a browser in a context of its own: with its own cache and
// cookies, like a visitor who has never been here.
type tab struct {
	c       *chrome
	session string
	events  <-chan event
}

// newTab opens an empty page for a new visitor.
func (c *chrome) newTab(t *testing.T, ctx context.Context) *tab {
	t.Helper()
	var visitor struct{ BrowserContextID string }
	var target struct{ TargetID string }
	var attached struct{ SessionID string }
	do := func(session, method string, params, result any) {
		t.Helper()
		if err := c.call(ctx, session, method, params, result); err != nil {
			t.Fatal(err)
		}
	}
	do("", "Target.createBrowserContext", nil, &visitor)
	do("", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": visitor.BrowserContextID}, &target)
	do("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	events := make(chan event, 1<<14)
	c.mu.Lock()
	c.events[attached.SessionID] = events
	c.mu.Unlock()
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		do(attached.SessionID, domain+".enable", nil, nil)
	}
	do(attached.SessionID, "Page.setLifecycleEventsEnabled", map[string]any{"enabled": true}, nil)
	return &tab{c, attached.SessionID, events}
}

// call is a command to the page.
func (p *tab) call(t *testing.T, ctx context.Context, method string, params, result any) {
	t.Helper()
	if err := p.c.call(ctx, p.session, method, params, result); err != nil {
		t.Fatal(err)
	}
}

// eval is the value of a JavaScript expression in the page, as a string.
func (p *tab) eval(t *testing.T, ctx context.Context, expression string) string {
	t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	p.call(t, ctx, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		t.Fatalf("%s: %s", expression, r.ExceptionDetails.Text)
	}
	return fmt.Sprint(r.Result.Value)
}

// patience is how long one page may take. Two cores that are shared are slow at times.
const patience = 30 * time.Second
