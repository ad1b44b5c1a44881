package proxy

import (
	"errors"
	"net/http"
	"sync"
)

// A hint is an interim response.
type hint struct {
	status int
	header http.Header
}

// maxHints bounds the interim responses to one request. They are kept for who
// joins later, so an origin must not send them for ever.
const maxHints = 32

// hint passes on an interim response. An error ends the fetch.
func (f *flight) hint(h hint) error {
	f.mu.Lock()
	full, shared := len(f.hints) == maxHints, len(f.clients) > 1
	if !full {
		f.hints = append(f.hints, h)
		f.changed()
	}
	f.mu.Unlock()
	if full {
		return errors.New("the origin sent too many interim responses")
	}
	if !shared {
		// A leader who takes nothing would hold up the others; hints are not worth it.
		f.leader.hint(h)
	}
	return nil
}

// A leader is the client that makes the flight's fetch. While it does, it cannot
// wait for interim responses, so it is told.
type leader struct {
	mu     sync.Mutex
	onHint func(hint) // nil: it does not, or not any more
}

// tell has the leader told of interim responses from now on, or no more.
func (l *leader) tell(onHint func(hint)) {
	l.mu.Lock()
	l.onHint = onHint
	l.mu.Unlock()
}

func (l *leader) hint(h hint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.onHint != nil {
		l.onHint(h)
	}
}
