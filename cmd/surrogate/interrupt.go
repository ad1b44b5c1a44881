package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// leave says which run Ctrl-C leaves behind, or cancels, and how to go on with
// it. It waits for nothing.
func (w *warming) leave(id string) {
	if w.cancels {
		fmt.Fprintf(w.p.stderr, "surrogate: interrupted; cancelling run %s\n", id)
		return
	}
	fmt.Fprintf(w.p.stderr, "surrogate: interrupted; what was queued stays queued as run %s: %s%s shows how far it is, and with --cancel ends it\n", id, w.again, id)
}

// interrupted does what Ctrl-C is to do, and says how much that leaves.
func (w *warming) interrupted(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if w.cancels {
		s, err := w.askRun(ctx, "DELETE", id, "")
		if err != nil && !errors.Is(err, errNoRun) {
			return fmt.Errorf("couldn't cancel run %s: %w; %s%s --cancel tries again", id, err, w.again, id)
		}
		if w.json && err == nil {
			if err := w.printJSON(s); err != nil {
				return err
			}
		}
		fmt.Fprintf(w.p.stderr, "surrogate: cancelled run %s\n", id)
		return errInterrupted
	}
	s, err := w.status(ctx, id, 0)
	if err != nil {
		return errInterrupted // which run it is has been said
	}
	if w.json {
		if err := w.printJSON(s); err != nil {
			return err
		}
	}
	rest := ""
	if w.run == "" && !w.said {
		rest = "; the list was not taken in to its end yet"
	}
	fmt.Fprintf(w.p.stderr, "surrogate: left: %d of %s%s\n", s.Remaining, count(s.Total, "URL"), rest)
	return errInterrupted
}

// cancelRun ends a run of an earlier call.
func (w *warming) cancelRun(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	s, err := w.askRun(ctx, "DELETE", id, "")
	switch {
	case errors.Is(err, errNoRun):
		return err
	case err != nil:
		return fmt.Errorf("couldn't cancel run %s: %w", id, err)
	case w.json:
		return w.printJSON(s)
	case w.quiet:
	case s.State == "cancelled":
		fmt.Fprintf(w.p.stdout, "cancelled run %s: done %d of %s, dropped %d\n", id, s.Done-s.Dropped, count(s.Total, "URL"), s.Dropped)
	default:
		fmt.Fprintf(w.p.stdout, "run %s was over already\n", id)
	}
	return nil
}
