package memstore

import (
	"context"
	"iter"
	"sync"
	"unsafe"

	"surrogate/store"
)

// maxLogNames bounds the names that the purge log holds, whatever the number
// of purges: one purge may have a hundred thousand of them.
const maxLogNames = 1 << 20

// maxLogBytes bounds the text of the log likewise, but for the last purge's: a
// name may be as long as a request.
const maxLogBytes = 32 << 20

// A purgeLog holds the last purges. Their numbers have no holes, so the event
// with number n lies at n modulo its size.
type purgeLog struct {
	mu     sync.Mutex // guards what follows; innermost
	ring   []store.Event
	size   int
	first  store.Seq // the oldest event held
	next   store.Seq // the number of the next
	names  int
	bytes  int           // of all texts
	wake   chan struct{} // closed when there is news
	closed bool
}

func newPurgeLog(size int) purgeLog {
	return purgeLog{size: size, first: 1, next: 1, wake: make(chan struct{})}
}

func (l *purgeLog) append(ev store.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < l.size {
		l.ring = append(l.ring, ev)
	} else {
		if l.first == l.next-store.Seq(l.size) {
			l.trim()
		}
		*l.slot(ev.Seq) = ev
	}
	l.next = ev.Seq + 1
	l.names += len(ev.Names)
	l.bytes += textOf(&ev)
	for (l.names > maxLogNames || l.bytes > maxLogBytes) && l.first < ev.Seq {
		l.trim()
	}
	close(l.wake)
	l.wake = make(chan struct{})
}

// textOf is how long an event's texts are.
func textOf(ev *store.Event) int {
	n := len(ev.ID) + len(ev.By) + len(ev.Why)
	for _, name := range ev.Names {
		n += len(name)
	}
	for _, a := range ev.Asked {
		n += len(a)
	}
	return n
}

// cost is about how much memory the log takes.
func (l *purgeLog) cost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(cap(l.ring))*int64(unsafe.Sizeof(store.Event{})) + int64(l.bytes) + int64(l.names)*int64(unsafe.Sizeof(store.AllName))
}

func (l *purgeLog) slot(n store.Seq) *store.Event { return &l.ring[uint64(n-1)%uint64(l.size)] }

func (l *purgeLog) trim() {
	ev := l.slot(l.first)
	l.names -= len(ev.Names)
	l.bytes -= textOf(ev)
	*ev = store.Event{}
	l.first++
}

func (l *purgeLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.wake)
	}
}

// at returns the event with number n or, when it has not happened yet, a
// channel that is closed when there is news.
func (l *purgeLog) at(n store.Seq) (ev store.Event, wait <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return store.Event{}, nil, store.ErrClosed
	case n < l.first:
		return store.Event{}, nil, store.ErrGap
	case n >= l.next:
		return store.Event{}, l.wake, nil
	}
	return *l.slot(n), nil, nil
}

// Events implements store.Store.
func (s *Store) Events(ctx context.Context, after store.Seq) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		for next := after + 1; ctx.Err() == nil; {
			ev, wait, err := s.log.at(next)
			switch {
			case err != nil:
				yield(store.Event{}, err)
				return
			case wait != nil:
				select {
				case <-wait:
				case <-ctx.Done():
				}
			default:
				if !yield(ev, nil) {
					return
				}
				next++
			}
		}
	}
}
