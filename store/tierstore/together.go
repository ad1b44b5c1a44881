package tierstore

import (
	"context"
	"errors"
	"sync"

	"surrogate/store"
)

// Many clients who ask for the same thing at once ask the store below together:
// a thousand lookups of one key would make it late for all of them. But nobody
// is given the answer to a lookup that began before he asked. A purge may have
// been confirmed in between, or another node may have stored what he was woken
// for. So while one lookup is under way those who come wait for the next, which
// they share: whoever is not alone waits for two round trips at most. A failure
// is everybody's at once, because it tells nobody anything old.

// A lookupID is what one lookup can be shared by. By which fields the key's
// entries vary is known only afterwards; see lookup.fits.
type lookupID struct {
	key  store.Key
	body bool
}

// A lookup is one question to the store below.
type lookup struct {
	over  chan struct{} // closed when what follows is there
	found store.Found
	err   error
	// The picks by which it was answered.
	pick, alt store.Pick
}

// fits reports whether ask would have been answered the same.
func (l *lookup) fits(ask store.Fields) bool {
	vary := l.found.Vary
	return vary == "" || store.PickOf(vary, ask) == l.pick && store.AltPick(vary, ask) == l.alt
}

// lookups are those under way, and those that are to follow them.
type lookups struct {
	mu sync.Mutex // guards m
	m  map[lookupID]*queue
}

type queue struct{ now, next *lookup }

// lookBelow looks up in the store below, together with whoever else asks for it. It
// reports whether the answer is this caller's to keep: one of those who share it
// is enough.
func (s *Store) lookBelow(ctx context.Context, key store.Key, ask store.Fields) (f store.Found, own bool, err error) {
	if err := ctx.Err(); err != nil {
		return store.Found{}, false, err
	}
	id := lookupID{key, true}
	if w, ok := ask.(store.WantsBody); ok {
		id.body = w.WantsBody()
	}
	l, before, leads := s.lookups.board(id)
	if !leads {
		select {
		case <-l.over:
		case <-ctx.Done():
			return store.Found{}, false, ctx.Err()
		}
		if l.err != nil || l.fits(ask) {
			return l.found, false, l.err
		}
		f, err = s.below.Get(ctx, key, ask)
		return f, true, err
	}
	s.lead(ctx, id, l, before, ask)
	return l.found, true, l.err
}

// lead makes a lookup, once the one before it is over.
func (s *Store) lead(ctx context.Context, id lookupID, l, before *lookup, ask store.Fields) {
	l.err = errPanicked
	defer func() {
		s.lookups.end(id)
		close(l.over)
	}()
	if before != nil {
		<-before.over // no longer than the store below lets anyone wait
		if before.err != nil {
			l.err = before.err
			return
		}
	}
	// Others wait for it, whether or not this client stays.
	l.found, l.err = s.below.Get(context.WithoutCancel(ctx), id.key, ask)
	l.pick, l.alt = store.PickOf(l.found.Vary, ask), store.AltPick(l.found.Vary, ask)
}

// errPanicked is what the others get whose lookup did not end as it should.
var errPanicked = errors.New("tierstore: a lookup panicked")

// board returns a lookup that has not begun. Whoever leads makes it, once the
// one before it is over.
func (ls *lookups) board(id lookupID) (l, before *lookup, leads bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	q := ls.m[id]
	switch {
	case q == nil:
		l = &lookup{over: make(chan struct{})}
		ls.m[id] = &queue{now: l}
		return l, nil, true
	case q.next == nil:
		q.next = &lookup{over: make(chan struct{})}
		return q.next, q.now, true
	}
	return q.next, nil, false
}

// end takes the lookup under way off, and lets the next be it.
func (ls *lookups) end(id lookupID) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	q := ls.m[id]
	if q.now, q.next = q.next, nil; q.now == nil {
		delete(ls.m, id)
	}
}
