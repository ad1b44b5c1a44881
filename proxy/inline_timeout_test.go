package proxy_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An idle connection ends when its time is up, counted from its last answer,
// and one that begins a request late has to be quick about it.
func TestInlineTimeouts(t *testing.T) { bothWays(t, inlineTimeouts) }

func inlineTimeouts(t *testing.T, secure bool) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newInlineHouse(t)
		defer h.close()
		s := newWiredOver(h, true, secure) // 10 s for a head, 75 s idle
		defer s.close()
		ended := func(w *caller) bool {
			synctest.Wait()
			w.wire.mu.Lock()
			defer w.wire.mu.Unlock()
			return w.closed
		}
		expect := func(what string, w *caller, want bool) {
			t.Helper()
			if ended(w) != want {
				t.Errorf("%s: the connection has ended: %v", what, !want)
			}
		}
		wired := func(peer, text string) *caller {
			c := s.call(peer, secure)
			c.say(text)
			return c
		}

		mute := &caller{wire: newWire("192.0.2.9", nil, 0)}
		mute.open = true
		s.serve(mute.wire)
		silent := wired("192.0.2.10", "")
		slow := wired("192.0.2.11", "GET /page HTT")
		busy := wired("192.0.2.12", ask("GET", "/page"))
		mixed := wired("192.0.2.13", ask("POST", "/none", "Content-Length: 0"))
		missed := wired("192.0.2.15", ask("GET", "/none"))
		time.Sleep(9 * time.Second)
		expect("mute for 9 s", mute, false)
		expect("silent for 9 s", silent, false)
		expect("slow for 9 s", slow, false)
		time.Sleep(2 * time.Second)
		expect("mute for 11 s", mute, true)
		expect("silent for 11 s", silent, true)
		expect("slow for 11 s", slow, true)
		for range 5 {
			time.Sleep(60 * time.Second)
			busy.say(ask("GET", "/page"))
			mixed.say(ask("GET", "/page"))
			missed.say(ask("GET", "/none"))
			expect("busy", busy, false)
			expect("mixed", mixed, false)
			expect("missed", missed, false)
		}
		busy.say("GET /page HTTP/1.1\r\n")
		time.Sleep(9 * time.Second)
		expect("late with a line", busy, false)
		time.Sleep(2 * time.Second)
		expect("late with the rest", busy, true)
		time.Sleep(63 * time.Second)
		expect("idle for 74 s", mixed, false)
		expect("idle for 74 s after a miss", missed, false)
		time.Sleep(2 * time.Second)
		expect("idle for 76 s", mixed, true)
		expect("idle for 76 s after a miss", missed, true)
		brief := wired("192.0.2.14", ask("GET", "/page"))
		expect("brief", brief, false)
		brief.say("G") // a record of its own: there is no more to be read behind its first byte
		time.Sleep(9 * time.Second)
		expect("late with a byte", brief, false)
		time.Sleep(2 * time.Second)
		expect("late with all but a byte", brief, true)
		if n := strings.Count(busy.heard(), "surrogate; hit"); n != 6 {
			t.Errorf("%d hits", n)
		}
	})
}
