package proxy_test

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// A connection that has hits alone lives as long as they come, and not for long after
// that.
func TestInlineHTTP2Idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newInlineHouse(t)
		defer h.close()
		s := newWired(h, true) // 75 s idle
		defer s.close()
		w := newWire(visitor, newHTTP2Script().Bytes(), 0)
		w.open = true
		s.serve(w)
		script := newHTTP2Script()
		const each, n = 10 * time.Second, 100
		for i := range uint32(n) {
			script.Reset()
			script.get(2*i+1, "/page")
			w.say(script.String())
			time.Sleep(each)
		}
		closed := func() bool {
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.closed
		}
		w.mu.Lock()
		heard := hearHTTP2(bytes.Clone(w.output.Bytes()))
		w.mu.Unlock()
		if closed() || heard.goaway != "" || len(heard.streams) != n+1 {
			t.Errorf("after %v it is closed: %v, after %d answers", n*each, closed(), len(heard.streams)-1)
		}
		time.Sleep(78 * time.Second)
		if !closed() {
			t.Error("it is never closed")
		}
	})
}

// A client is answered on every stream that a server which shuts down says it has seen,
// whoever answers.
func TestInlineHTTP2GoAway(t *testing.T) {
	for round := range 20 {
		h, _ := newInlineHouse(t)
		s := newSocketed(t, h, false)
		conn := s.dialFor(t, "h2")
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		say(t, conn, s.script().window(0, 1<<30).String())
		var stop atomic.Bool
		asked, room := make(chan uint32), make(chan bool, 100) // as many as net/http takes at once
		go func() {
			script, id := s.script(), uint32(1)
			for ; !stop.Load(); id += 2 {
				room <- true
				script.Reset()
				script.get(id, []string{"/page", "/medium", "/none", "/page"}[id/2%4])
				if _, err := conn.Write(script.Bytes()); err != nil {
					break
				}
			}
			asked <- id
		}()
		shut := make(chan error, 1)
		f := http2.NewFramer(nil, conn)
		answered, shutting, last := map[uint32]bool{}, false, uint32(0)
		missing := func() (ids []uint32) {
			for id := uint32(1); id <= last; id += 2 {
				if !answered[id] {
					ids = append(ids, id)
				}
			}
			return ids
		}
		for last == 0 || len(missing()) > 0 {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Errorf("round %d: %d streams are not answered, such as %d, of %d: %v", round, len(missing()), append(missing(), 0)[0], last, err)
				break
			}
			switch frame := frame.(type) {
			case *http2.GoAwayFrame:
				last = frame.LastStreamID
				stop.Store(true)
			case *http2.HeadersFrame:
				answered[frame.StreamID] = frame.StreamEnded()
			case *http2.DataFrame:
				if answered[frame.StreamID] = frame.StreamEnded(); frame.StreamEnded() {
					<-room
				}
			}
			if !shutting && len(answered) >= 50+round*7 {
				shutting = true
				go func() { shut <- s.server.Shutdown(t.Context()) }()
			}
		}
		conn.Close()
		stop.Store(true)
		for len(room) > 0 {
			<-room
		}
		if begun := <-asked; last == 0 || last >= begun {
			t.Errorf("round %d: it says %d, of streams before %d", round, last, begun)
		}
		if err := <-shut; err != nil {
			t.Error(err)
		}
		h.close()
	}
}

// Whoever shuts down lets answers end, and cuts off those who do not read them.
func TestInlineHTTP2Shutdown(t *testing.T) { bothWays(t, inlineHTTP2Shutdown) }

func inlineHTTP2Shutdown(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	s := newSocketed(t, h, secure)
	script := s.script(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}).window(0, 1<<30)
	for i := range uint32(400) {
		script.get(2*i+1, "/big")
	}
	reads, deaf := s.dialFor(t, "h2"), s.dialFor(t, "h2")
	for _, c := range []net.Conn{reads, deaf} {
		go c.Write(script.Bytes())
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	client := s.http2Client(t)
	if _, _, err := s.get(t.Context(), client, "/page"); err != nil {
		t.Fatal(err)
	}
	// By the time that one has half of it the other has what its socket holds.
	if _, err := io.CopyN(io.Discard, reads, 200*200<<10); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, reads)
	s.cutOff(t, 3*time.Second)
}
