package purge

import (
	"context"
	"fmt"

	"surrogate/store"
)

// A cascade is the set of names that fall in one purge.
type cascade struct {
	store  store.Store
	max    int                     // bound on len(found)
	fallen map[store.Name]struct{} // all names so far
	found  []store.Name            // those beyond the names asked for, in the order they were found
}

func newCascade(s store.Store, max int, asked []store.Name) *cascade {
	c := &cascade{store: s, max: max, fallen: make(map[store.Name]struct{}, len(asked))}
	for _, n := range asked {
		c.fallen[n] = struct{}{}
	}
	return c
}

// walk follows the dependencies of from, level by level, and returns the names
// that fall with it and had not fallen yet. Each name is followed once, so a
// cycle ends where it began.
func (c *cascade) walk(ctx context.Context, from []store.Name) ([]store.Name, error) {
	start := len(c.found)
	for len(from) > 0 {
		next, err := c.store.Dependents(ctx, from)
		if err != nil {
			return nil, fmt.Errorf("dependents: %w", err)
		}
		level := len(c.found)
		for _, n := range next {
			if _, known := c.fallen[n]; known {
				continue
			}
			if len(c.found) == c.max {
				return nil, fmt.Errorf("%w: more than %d, the limit set by max_expand; purge everything, or raise it", ErrTooMany, c.max)
			}
			c.fallen[n] = struct{}{}
			c.found = append(c.found, n)
		}
		from = c.found[level:]
	}
	return c.found[start:], nil
}
