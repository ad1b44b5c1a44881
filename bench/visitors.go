package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// A visit is what came of one visitor's request.
type visit struct {
	due    time.Time     // when it was to be sent
	took   time.Duration // from then on
	anew   bool          // nobody had asked for the page before
	hit    bool          // it was answered from the cache
	joined bool          // it waited for what another visitor, or warming, had fetched
}

// waits reports whether the visitor had to wait for the origin. A hit that takes as
// long as if it did is none to him.
func (v visit) waits() bool { return !v.hit || v.took >= slowness/2 }

// own reports whether it was this visitor for whom the origin was asked.
func (v visit) own() bool { return !v.hit && !v.joined }

// A crowd asks for products by Zipf's law, and one in rareEvery for an article that
// nobody has asked for before. Crowds of the same seed ask for the same pages.
type crowd struct {
	r        *rand.Rand
	zipf     *rand.Zipf
	products []int // the most popular first
	articles int
}

const rareEvery = 20

// crowdOf is one for so many products. The exponent is near what is measured of web
// pages; the offset keeps the very first from having a quarter of all visitors.
func crowdOf(seed uint64, products int) *crowd {
	r := rand.New(rand.NewPCG(seed, 1))
	return &crowd{r: r, products: r.Perm(products), zipf: rand.NewZipf(r, 1.1, 3, uint64(products-1))}
}

// asksFor is what n of them ask for, in order; without rare pages if not rare.
func (c *crowd) asksFor(n int, rare bool) []string {
	paths := make([]string, n)
	for i := range paths {
		if rare && c.r.IntN(rareEvery) == 0 {
			c.articles++
			paths[i] = fmt.Sprintf("/articles/%d", c.articles)
		} else {
			paths[i] = productPath(c.products[c.zipf.Uint64()])
		}
	}
	return paths
}

// hottest are the most popular of the products that fall, n of them at most.
func (c *crowd) hottest(n int) (paths []string) {
	for _, p := range c.products {
		if fallsWithCategory(p) && len(paths) < n {
			paths = append(paths, productPath(p))
		}
	}
	return paths
}

// come has visitors ask for pages at a steady rate, each when it is due, however
// many are still waiting then: nobody who is kept waiting keeps others from coming.
// It returns when all were answered.
func come(ctx context.Context, addr string, perSecond int, paths []string) ([]visit, error) {
	var (
		mu    sync.Mutex // guards what follows
		idle  []*conn
		all   []visit
		first error
		wg    sync.WaitGroup
	)
	free := func() *conn {
		mu.Lock()
		defer mu.Unlock()
		if len(idle) == 0 {
			return nil
		}
		c := idle[len(idle)-1]
		idle = idle[:len(idle)-1]
		return c
	}
	began := time.Now()
	for i, path := range paths {
		v := visit{due: began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))}
		if err := sleep(ctx, time.Until(v.due)); err != nil {
			break // as ctx says
		}
		wg.Go(func() {
			c, err := free(), error(nil)
			if c == nil {
				c, err = dial(addr)
			}
			if err == nil {
				err = v.make(c, addr, path)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				all, idle = append(all, v), append(idle, c)
			} else if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	for _, c := range idle {
		c.Close()
	}
	if first == nil {
		first = ctx.Err()
	}
	return all, first
}

// make asks for a page, and notes what came of it.
func (v *visit) make(c *conn, addr, path string) error {
	a, err := c.do(request(addr, path))
	if err != nil {
		c.Close()
		return fmt.Errorf("GET %s%s: %w", addr, path, err)
	}
	if a.status != 200 || !strings.HasPrefix(string(a.body), path+"\n") {
		c.Close()
		return fmt.Errorf("GET %s%s is answered %d with %d bytes", addr, path, a.status, len(a.body))
	}
	v.took = time.Since(v.due)
	status := a.field("cache-status")
	v.hit, v.joined = strings.Contains(status, "; hit"), strings.Contains(status, "; collapsed")
	v.anew = !strings.HasPrefix(path, "/products/")
	return nil
}
