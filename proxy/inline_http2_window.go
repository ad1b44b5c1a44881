package proxy

import (
	"net"
	"sync"
	"time"
)

const (
	firstWindow = 1<<16 - 1 // RFC 9113, section 6.9.2
	maxWindow   = 1<<31 - 1
)

// A sharedWindow is what a client takes on all streams of a connection together (RFC
// 9113, section 5.2), divided between answers and net/http: neither sends what the
// other has room for.
type sharedWindow struct {
	conn net.Conn // whose reader lends

	mu       sync.Mutex // guards what follows
	total    int64
	budget   int64     // the part that is for answers
	wanted   bool      // by net/http
	deadline time.Time // of reading, as net/http has set it
}

// grant divides n bytes that the client takes more, and returns how much of it is
// net/http's. Answers get up to half of what it takes in all, if that is a good deal.
// What a client begins with is net/http's: who never takes more is not answered inline.
// false: it is more than there may be.
func (w *sharedWindow) grant(n int64) (onward int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total += n; w.total > maxWindow {
		return 0, false
	}
	var aim int64
	if w.total > 2*firstWindow {
		aim = w.total / 2
	}
	more := min(n, aim-w.budget) // where net/http has sent much, it is less than nothing
	w.budget += more
	return n - more, true
}

// takes reports whether an answer of n bytes is within the budget.
func (w *sharedWindow) takes(n int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return n <= w.budget
}

// spend takes note of an answer of n bytes.
func (w *sharedWindow) spend(n int64) {
	w.mu.Lock()
	w.budget -= n
	w.total -= n
	w.mu.Unlock()
}

// sent takes note of n bytes that net/http sends. Where it has next to nothing left, the
// reader lends it what is for answers: there are clients who take more when all was
// used, and not before.
func (w *sharedWindow) sent(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total -= n
	if w.budget > 0 && w.total-w.budget < maxFrame && !w.wanted {
		w.wanted = true
		_ = w.conn.SetReadDeadline(time.Unix(1, 0)) // an error is the reader's to see
	}
}

// lend returns what is to be lent, after the reader was woken. false: it was not for that.
func (w *sharedWindow) lend() (n int64, wanted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.wanted {
		return 0, false
	}
	w.wanted = false
	n, w.budget = w.budget, 0
	return n, w.conn.SetReadDeadline(w.deadline) == nil
}

// setReadDeadline sets net/http's.
func (w *sharedWindow) setReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deadline = t; w.wanted {
		return nil // the reader is about to be woken, and sets it then
	}
	return w.conn.SetReadDeadline(t)
}
