package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed demo
var shopFiles embed.FS

var shopPages = template.Must(template.ParseFS(shopFiles, "demo/*.html"))

const (
	renderTime = 200 * time.Millisecond // what a page of the shop takes, on purpose
	shopSize   = 500                    // products
)

// A shop is the application of the demo. It knows nothing of the proxy: all it
// does for it is to say in its responses what they were made from. A page is
// tagged with what it is, and depends on what it shows besides.
type shop struct {
	render time.Duration

	mu       sync.Mutex // guards the fields below
	products []product  // number 1 first
	at       addresses
}

// addresses are where the shop, the proxy in front of it and the dashboard are.
// A shop without them has no buttons.
type addresses struct{ Shop, Proxy, Dashboard string }

// open tells the shop where it is.
func (s *shop) open(at addresses) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = at
}

func (s *shop) where() addresses {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

type product struct {
	Number   int
	Name     string
	Category string
	Cents    int
}

// Price is what it costs.
func (p product) Price() string { return fmt.Sprintf("€ %d.%02d", p.Cents/100, p.Cents%100) }

// featured are the products on the homepage.
var featured = []int{1, 2, 9}

func newShop(render time.Duration) *shop {
	kinds := []struct {
		category string
		names    []string
	}{
		{"shoes", []string{"Trail runner", "City sneaker", "Hiking boot", "Sandal", "Loafer", "Slipper", "Rain boot", "Ballet flat"}},
		{"bags", []string{"Backpack", "Messenger bag", "Tote", "Duffel", "Bike bag", "Purse"}},
		{"things", []string{"Mug", "Lamp", "Notebook", "Umbrella", "Scarf", "Clock", "Vase"}},
	}
	s := &shop{render: render}
	for n := 1; n <= shopSize; n++ {
		p := product{Number: n, Cents: 1990 + n*7919%18000/10*10}
		switch i := n - 1; {
		case i < 8:
			p.Category, p.Name = kinds[0].category, kinds[0].names[i]
		case i < 14:
			p.Category, p.Name = kinds[1].category, kinds[1].names[i-8]
		default:
			p.Category, p.Name = kinds[2].category, fmt.Sprintf("%s no. %d", kinds[2].names[i%7], n)
		}
		s.products = append(s.products, p)
	}
	return s
}

// routes serves the shop.
func (s *shop) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", s.home)
	m.HandleFunc("GET /products/{number}", s.product)
	m.HandleFunc("GET /categories/{name}", s.category)
	m.HandleFunc("GET /", s.lost)
	m.HandleFunc("POST /admin/products/{number}", s.change)
	m.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=86400")
		http.ServeFileFS(w, r, shopFiles, "demo/style.css")
	})
	return m
}

// A shopPage is what a template is filled with.
type shopPage struct {
	Title    string
	Product  *product
	Products []product
	Rendered string
	Took     time.Duration
	At       addresses
}

// lost is the answer for what the shop does not have.
func (s *shop) lost(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	show(w, http.StatusNotFound, "lost.html", shopPage{Title: "We do not have that", At: s.where()})
}

// home shows what is featured. It was made from the page of the first, and from
// the other products: either way to say so does.
func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	ps := s.pick(func(p *product) bool { return slices.Contains(featured, p.Number) })
	deps := []string{fmt.Sprintf("/products/%d", featured[0])}
	for _, n := range featured[1:] {
		deps = append(deps, fmt.Sprintf("product:%d", n))
	}
	s.page(w, r, "home.html", shopPage{Title: "The shop", Products: ps}, []string{"home"}, deps)
}

func (s *shop) product(w http.ResponseWriter, r *http.Request) {
	ps := s.pick(func(p *product) bool { return strconv.Itoa(p.Number) == r.PathValue("number") })
	if len(ps) == 0 {
		s.lost(w, r)
		return
	}
	p := ps[0]
	tags := []string{fmt.Sprintf("product:%d", p.Number), "category:" + p.Category, "category:everything"}
	s.page(w, r, "product.html", shopPage{Title: p.Name, Product: &p, Products: ps}, tags, nil)
}

// category lists the products of one, or "everything". The tag names what a
// purge of the whole takes; the products it shows are what it was made from.
func (s *shop) category(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	ps := s.pick(func(p *product) bool { return p.Category == name || name == "everything" })
	if len(ps) == 0 {
		s.lost(w, r)
		return
	}
	var deps []string
	for _, p := range ps {
		deps = append(deps, fmt.Sprintf("product:%d", p.Number))
	}
	s.page(w, r, "category.html", shopPage{Title: strings.ToUpper(name[:1]) + name[1:], Products: ps}, []string{"category:" + name}, deps)
}

// change gives a product another price and, asked for ?purge=1, purges what was
// made from it. A browser is then sent back to the page, as the proxy has it.
func (s *shop) change(w http.ResponseWriter, r *http.Request) {
	price, err := strconv.ParseFloat(r.FormValue("price"), 64)
	number, nerr := strconv.Atoi(r.PathValue("number"))
	if err != nil || price < 0 || price > 1e6 || nerr != nil || number < 1 || number > shopSize {
		http.Error(w, "want /admin/products/1?price=19.90", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	p := &s.products[number-1]
	p.Cents = int(price*100 + 0.5)
	now := *p
	at := s.at
	s.mu.Unlock()
	if r.FormValue("purge") != "" {
		if err := purgeProduct(r.Context(), at.Proxy, number); err != nil {
			http.Error(w, "the price changed, but not the pages: "+err.Error(), http.StatusBadGateway)
			return
		}
	}
	if r.FormValue("back") != "" {
		http.Redirect(w, r, fmt.Sprintf("%s/products/%d", at.Proxy, number), http.StatusSeeOther)
		return
	}
	fmt.Fprintf(w, "%s now costs %s\n", now.Name, now.Price())
}

// purgeProduct purges as any application can: PURGE with the tag, sent to the
// proxy.
func purgeProduct(ctx context.Context, proxy string, number int) error {
	req, err := http.NewRequestWithContext(ctx, "PURGE", proxy+"/", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Surrogate-Key", fmt.Sprintf("product:%d", number))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the proxy answered %s", resp.Status)
	}
	return nil
}

// pick returns the products that match, as they are now.
func (s *shop) pick(match func(*product) bool) []product {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []product
	for i := range s.products {
		if match(&s.products[i]) {
			out = append(out, s.products[i])
		}
	}
	return out
}

// page renders. What it shows was read before the rendering began, as in many
// an application: purging while it renders is what a cache must get right.
func (s *shop) page(w http.ResponseWriter, r *http.Request, file string, page shopPage, tags, deps []string) {
	began := time.Now()
	prices := fnv.New64a()
	for _, p := range page.Products {
		fmt.Fprintln(prices, p.Number, p.Cents)
	}
	h := w.Header()
	// Nobody can purge a browser, so those ask each time, and are told 304 in a
	// millisecond. Surrogate keeps the page for an hour.
	h.Set("Cache-Control", "no-cache")
	h.Set("Surrogate-Control", "max-age=3600")
	h.Set("Surrogate-Key", strings.Join(tags, " "))
	if len(deps) > 0 {
		h.Set("Surrogate-Depends", strings.Join(deps, " "))
	}
	etag := fmt.Sprintf(`W/"%x"`, prices.Sum(nil))
	h.Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if !pause(r.Context(), s.render) {
		return
	}
	page.Rendered, page.Took, page.At = began.Format("15:04:05.000"), time.Since(began).Round(time.Millisecond), s.where()
	show(w, http.StatusOK, file, page)
}

func show(w http.ResponseWriter, status int, file string, page shopPage) {
	var b bytes.Buffer
	if err := shopPages.ExecuteTemplate(&b, file, page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// pause waits, and reports whether it was for all of d.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
