package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A shop is an origin of pages that take slowness each: products, of which every
// fifth is of the category that is purged, and articles. It tells what warming asks
// for from what visitors wait for, and may have a bounded number of workers, as an
// application has: who comes when all have something to do waits in line.
type shop struct {
	mu      sync.Mutex // guards the fields below
	workers chan struct{}
	began   time.Time // of the counting
	inside  [2]int    // under way, for visitors and for warming
	count   shopCount
}

// A shopCount is what a shop was asked for since it was told to count.
type shopCount struct {
	Visitors, Warming side
	Back              map[string]float64 // when a page was first rendered again, in seconds
}

// A side is what visitors had the shop asked for, or warming.
type side struct {
	Asked int
	Most  int // under way at once
}

const (
	category     = "category:shoes" // that is purged
	inCategory   = 5                // every so many-th product
	beginPath    = "/begin"         // ?workers=8 counts from now on, with so many workers; 0 for no bound
	countedPath  = "/counted"
	warmingAgent = "surrogate (warming)"
)

func productPath(n int) string { return "/products/" + strconv.Itoa(n) }

func fallsWithCategory(n int) bool { return n%inCategory == 0 }

// serveShop answers until the listener closes.
func serveShop(l net.Listener) error {
	s := &shop{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products/{n}", s.page)
	mux.HandleFunc("GET /articles/{n}", s.page)
	mux.HandleFunc("GET "+beginPath, s.begin)
	mux.HandleFunc("GET "+countedPath, s.counted)
	return (&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}).Serve(l)
}

func (s *shop) begin(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("workers"))
	if err != nil || n < 0 {
		http.Error(w, "how many workers?", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n != cap(s.workers) { // who is inside has the old ones
		s.workers = nil
		if n > 0 {
			s.workers = make(chan struct{}, n)
		}
	}
	s.began = time.Now()
	s.count = shopCount{Visitors: side{Most: s.inside[0]}, Warming: side{Most: s.inside[1]}, Back: map[string]float64{}}
	w.Header().Set("Content-Length", "0")
}

func (s *shop) counted(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	text, err := json.Marshal(s.count)
	s.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}

// who is what a request is counted with. s.mu is held.
func (s *shop) who(r *http.Request) (*side, *int) {
	if r.Header.Get("User-Agent") == warmingAgent {
		return &s.count.Warming, &s.inside[1]
	}
	return &s.count.Visitors, &s.inside[0]
}

func (s *shop) page(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	count, inside := s.who(r)
	count.Asked++
	*inside++
	count.Most = max(count.Most, *inside)
	workers := s.workers
	s.mu.Unlock()
	if workers != nil {
		workers <- struct{}{}
		defer func() { <-workers }()
	}
	time.Sleep(slowness)
	s.mu.Lock()
	*inside--
	if _, there := s.count.Back[r.URL.Path]; !there && s.count.Back != nil {
		s.count.Back[r.URL.Path] = time.Since(s.began).Seconds()
	}
	s.mu.Unlock()
	tags := "article"
	if n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/products/")); err == nil {
		tags = fmt.Sprint("product:", n)
		if fallsWithCategory(n) {
			tags += " " + category
		}
	}
	body := append([]byte(r.URL.Path), bytes.Repeat([]byte("\n<p>What is on the page, again and again.</p>"), 40)...)
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Vary", "Accept-Encoding")
	h.Set("xkey", tags)
	_, _ = w.Write(body)
}

// countOf is what a shop was asked for since it began to count.
func countOf(addr string) (c shopCount, err error) {
	a, err := get(addr, countedPath)
	if err == nil {
		err = json.Unmarshal(a.body, &c)
	}
	return c, err
}

// countAnew has a shop count from now on, with so many workers.
func countAnew(addr string, workers int) error {
	a, err := get(addr, fmt.Sprintf("%s?workers=%d", beginPath, workers))
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("the shop says %d, %s", a.status, a.body)
	}
	return err
}
