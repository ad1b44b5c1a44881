package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What is not stored is held for its slowest client, but not for ever: one that
// takes nothing is given up when others wait behind it.
func TestAClientThatTakesNothingDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 8 << 20
		f := newFlight(t.Context(), flightID{}, 0)
		idler, reader := f.join(true), f.join(false)
		go func() {
			chunk := make([]byte, 64<<10)
			for sent := 0; sent < size; sent += len(chunk) {
				if !f.write(t.Context(), chunk, 1<<20) {
					break
				}
			}
			f.finish(nil, nil)
		}()
		began, n := time.Now(), 0
		for {
			b, err := f.next(t.Context(), reader, func() {})
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				break
			}
			n += len(b)
		}
		if n != size {
			t.Errorf("the reader got %d of %d bytes", n, size)
		}
		if took := time.Since(began); took > 2*slowFor {
			t.Errorf("it took %v", took)
		}
		if _, err := f.next(t.Context(), idler, func() {}); !errors.Is(err, errTooSlow) {
			t.Errorf("the idler is told %v", err)
		}
	})
}

// One that is alone may take its time.
func TestAClientAloneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f := newFlight(t.Context(), flightID{}, 0)
		rd := f.join(true)
		done := make(chan bool)
		go func() { done <- f.write(ctx, make([]byte, 2<<20), 1<<20) }()
		time.Sleep(time.Hour)
		if b, err := f.next(ctx, rd, func() {}); err != nil || len(b) != 2<<20 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if !<-done {
			t.Error("the writer gave up")
		}
	})
}
