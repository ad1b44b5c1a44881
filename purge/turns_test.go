package purge_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/purge"
	"surrogate/store"
)

// A busy fleet has another node that sweeps, until it is told to stop.
type busy struct {
	*pair
	mu     sync.Mutex // guards what follows
	other  chan struct{}
	claims int
	held   int
	most   int
}

func (b *busy) Claim(context.Context, string, time.Duration) (store.Claim, <-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.other:
	default:
		return nil, b.other, nil
	}
	b.claims++
	b.held++
	b.most = max(b.most, b.held)
	return letGo(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held--
	}), nil, nil
}

type letGo func()

func (l letGo) Release(context.Context) { l() }

func TestANodeSweepsWhenNoOtherDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{pair: newPair(t), other: make(chan struct{})}
		b.hear(100)
		for i := range 50 {
			put(t, b, fmt.Sprintf("http://shop.test/%d", i), "t", "")
		}
		p := purge.New(purge.Options{Store: b})
		run(t, p)
		r, err := p.PurgeTags(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if r, _ := p.Receipt(r.ID); r.State != purge.Fenced {
			t.Errorf("%s while another node sweeps", r.State)
		}
		close(b.other)
		time.Sleep(time.Minute)
		if r, _ := p.Receipt(r.ID); r.State != purge.Swept || r.Entries != 50 {
			t.Errorf("%s, %d entries, once it has stopped", r.State, r.Entries)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.claims == 0 || b.held != 0 || b.most != 1 {
			t.Errorf("%d claims, %d held, %d at most", b.claims, b.held, b.most)
		}
	})
}
