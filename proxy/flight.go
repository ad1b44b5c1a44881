package proxy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// A flightID is what a fetch may be shared by: the key, the pick as far as it is
// known before the answer is, and the range asked for.
type flightID struct {
	key    store.Key
	pick   store.Pick
	ranges string
}

// A flight is one fetch under way, and what has arrived of it. One goroutine
// (see Proxy.ask) writes to it; any number of clients read along, each at his own
// pace, and none of them can hold it up or end it by leaving. What has arrived
// is never written to again: buf only grows, and readers take slices of it.
type flight struct {
	id     flightID
	ticket store.Seq
	ctx    context.Context         // the fetch's
	cancel context.CancelCauseFunc // ends it
	began  time.Time

	alone      bool // shared with nobody
	background bool // a refresh that no client waits for
	warming    bool // begun by Warm, for nobody yet

	// Whoever makes the fetch sets these.
	leader  leader
	release func()        // ends this node's right to it; nil: there is none
	visits  *atomic.Int64 // has it counted, as a visitor's; nil: it does not

	// What came of it: to be read once landed is closed.
	landed chan struct{}
	stored *store.Entry  // what is in the store now; nil if nothing was put there
	unkept Reason        // why not, where the origin's answer or the store says so
	cost   time.Duration // from the request to the response's head

	mu      sync.Mutex
	wake    chan struct{} // closed whenever a field below changes; nil when nobody waits
	hints   []hint        // interim responses (103) received so far
	ans     *answer       // nil until the response's head is here
	buf     []byte        // content received, from offset base
	base    int64         // 0 unless spilled
	spilled bool          // the content turned out too large to be stored
	done    bool          // no more will come
	err     error         // why not all of it came
	trailer http.Header
	clients []*reader
	lone    bool // goes on without clients: a background refresh, or it is to be stored
	ledGone bool // the client it was begun for has left
	taken   bool // that client took the live response
}

// An answer is how a flight's fetch was answered.
type answer struct {
	at     time.Time      // when its head was received
	kept   bool           // it is to be stored and may be shared
	other  bool           // another node fetched it
	whole  *store.Entry   // the answer is this entry, complete: nothing streams
	entry  *store.Entry   // kept: what will be stored, as yet without its body
	why    Reason         // why it is not kept
	status int            // of the response as received
	header http.Header    // as clients get it; nobody edits it
	length int64          // of the content; -1 while unknown
	live   *http.Response // not kept: the response itself, for the client it was fetched for
}

// A reader is one client reading along.
type reader struct {
	off   int64     // what it wants next
	moved time.Time // when it last took something
	led   bool      // the flight was begun for it
	lost  bool      // it held up others for too long, and is not waited for any more
}

func newFlight(ctx context.Context, id flightID, ticket store.Seq) *flight {
	f := &flight{id: id, ticket: ticket, began: time.Now(), landed: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	return f
}

// changed wakes all who wait. f.mu is held.
func (f *flight) changed() {
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// change is closed at the next change. f.mu is held.
func (f *flight) change() <-chan struct{} {
	if f.wake == nil {
		f.wake = make(chan struct{})
	}
	return f.wake
}

// join adds a client.
func (f *flight) join(led bool) *reader {
	rd := &reader{led: led, moved: time.Now()}
	f.mu.Lock()
	f.clients = append(f.clients, rd)
	f.mu.Unlock()
	return rd
}

// leave removes a client. A fetch that nobody waits for any more ends, unless
// it is known to be worth storing. A live response that nobody took is closed.
func (f *flight) leave(rd *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(rd)
	if rd.led {
		f.ledGone = true
		if f.ans != nil && f.ans.live != nil {
			f.closeLive()
		}
		if f.taken {
			f.cancel(context.Canceled)
		}
	}
	if len(f.clients) == 0 && !f.lone && !f.done {
		f.cancel(context.Canceled)
	}
	f.changed() // a writer that waited for this reader may go on
}

// forget removes a client, if it is still there. f.mu is held.
func (f *flight) forget(rd *reader) {
	if i := slices.Index(f.clients, rd); i >= 0 {
		f.clients = slices.Delete(f.clients, i, i+1)
	}
}

// closeLive gives up the live response. f.mu is held.
func (f *flight) closeLive() {
	live := f.ans.live
	f.ans.live = nil
	f.cancel(context.Canceled)
	go live.Body.Close() // may wait for the network
}

// await returns how the fetch was answered, or why it was not: ctx's error,
// errNoWait after patience (0: for ever), or the fetch's own. Interim responses
// are handed to onHint as they come, if that is not nil.
func (f *flight) await(ctx context.Context, patience time.Duration, onHint func(hint)) (*answer, error) {
	var timeout <-chan time.Time
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		timeout = t.C
	}
	shown := 0
	for {
		f.mu.Lock()
		ans, err, hints := f.ans, f.err, f.hints[shown:]
		var wake <-chan struct{}
		if ans == nil && err == nil {
			wake = f.change()
		}
		f.mu.Unlock()
		if onHint != nil {
			for _, h := range hints {
				onHint(h)
			}
			shown += len(hints)
		}
		switch {
		case ans != nil:
			return ans, nil
		case err != nil:
			return nil, err
		}
		select {
		case <-wake:
		case <-timeout:
			return nil, errNoWait
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// takeLive hands the live response to the client it was fetched for.
func (f *flight) takeLive() *http.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	live := f.ans.live
	f.ans.live = nil
	f.taken = live != nil
	return live
}

// over frees what the fetch's context holds, unless its response is still to be
// read by the client it was for: then leave does.
func (f *flight) over() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ans == nil || f.ans.kept || f.ans.whole != nil {
		f.cancel(context.Canceled)
	}
}

// next returns content from where rd is, as much as there is; nil at the end.
// It waits when there is none yet, after calling idle.
func (f *flight) next(ctx context.Context, rd *reader, idle func()) ([]byte, error) {
	for waited := false; ; waited = true {
		f.mu.Lock()
		if rd.lost {
			f.mu.Unlock()
			return nil, errTooSlow
		}
		if have := f.base + int64(len(f.buf)); rd.off < have {
			p := f.buf[rd.off-f.base : have-f.base : have-f.base]
			rd.off, rd.moved = have, time.Now()
			if f.spilled {
				f.changed() // the writer may wait for this reader
			}
			f.mu.Unlock()
			return p, nil
		}
		done, err := f.done, f.err
		var wake <-chan struct{}
		if waited && !done && err == nil {
			wake = f.change()
		}
		f.mu.Unlock()
		if done || err != nil {
			return nil, err
		}
		if !waited {
			idle()
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// answered makes the head known. A live response whose client has left is
// closed.
func (f *flight) answered(a *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ans = a
	if a.kept {
		f.lone = true
	}
	if a.live != nil && f.ledGone {
		f.closeLive()
	}
	f.changed()
}

// write adds content. Content of more than limit is not going to be stored:
// what all clients have read is let go, and the writer waits for the slowest
// once window is ahead of it. It returns false when nobody wants the rest.
func (f *flight) write(ctx context.Context, p []byte, limit int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf = append(f.buf, p...)
	f.changed()
	if !f.spilled && int64(len(f.buf)) <= limit {
		return true
	}
	f.spilled, f.lone = true, false
	for len(f.clients) > 0 && ctx.Err() == nil {
		if len(f.buf) < window {
			return true
		}
		slowest := f.base + int64(len(f.buf))
		for _, rd := range f.clients {
			slowest = min(slowest, rd.off)
		}
		if slowest > f.base {
			// A new slice: clients may still be sending the old one.
			rest := f.buf[slowest-f.base:]
			f.buf = append(make([]byte, 0, max(window, len(rest))+chunkSize), rest...)
			f.base = slowest
			continue
		}
		if f.shed(slowest) {
			continue
		}
		wake := f.change()
		f.mu.Unlock()
		wait := time.NewTimer(slowFor)
		select {
		case <-wake:
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		f.mu.Lock()
	}
	return false
}

// takeAll adds the size bytes of content that r has, all of them here.
func (f *flight) takeAll(r io.Reader, size int64) error {
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	var end [1]byte
	if n, err := r.Read(end[:]); n > 0 || err != io.EOF {
		return cmp.Or(err, io.ErrShortBuffer)
	}
	f.mu.Lock()
	f.buf = b
	f.changed()
	f.mu.Unlock()
	return nil
}

// slowFor is how long one client may hold up the others who read along.
const slowFor = 5 * time.Second

var errTooSlow = errors.New("this client took nothing for too long while others waited")

// shed gives up the clients that stand at off and have for long, if there are
// others. f.mu is held.
func (f *flight) shed(off int64) bool {
	var slow []*reader
	for _, rd := range f.clients {
		if rd.off == off && time.Since(rd.moved) >= slowFor {
			slow = append(slow, rd)
		}
	}
	if len(slow) == 0 || len(slow) == len(f.clients) {
		return false
	}
	for _, rd := range slow {
		rd.lost = true
		f.forget(rd)
	}
	return true
}

// window is how many bytes a flight whose content is not stored holds for its
// slowest client.
const window = 1 << 20

// finish ends the flight.
func (f *flight) finish(trailer http.Header, err error) {
	f.mu.Lock()
	f.done, f.err, f.trailer = err == nil, err, trailer
	f.changed()
	f.mu.Unlock()
}

// failAll ends a flight that has not ended.
func (f *flight) failAll(err error) {
	f.mu.Lock()
	if !f.done && f.err == nil {
		f.err = err
		f.changed()
	}
	f.mu.Unlock()
}

// isSpilled reports whether newcomers can no longer read from the start.
func (f *flight) isSpilled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.spilled
}

// seek makes rd begin at off, which it has not yet read beyond.
func (f *flight) seek(rd *reader, off int64) {
	f.mu.Lock()
	rd.off = off
	f.mu.Unlock()
}

// withdraw returns the content that arrived before there was an answer, and lets
// it go.
func (f *flight) withdraw() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.buf
	f.buf = nil
	return b
}
