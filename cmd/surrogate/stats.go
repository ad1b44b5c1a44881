package main

import (
	"net/http"
	"time"

	"surrogate/proxy"
	"surrogate/purge"
	"surrogate/store"
)

// A siteReport is what requests came to, of one site or of all.
type siteReport struct {
	Site        string `json:"site,omitempty"`
	Hits        uint64 `json:"hits"`         // answered from the cache
	Misses      uint64 `json:"misses"`       // answered by a fetch, because nothing was stored
	Stale       uint64 `json:"stale"`        // answered from the cache with what was stale
	Revalidated uint64 `json:"revalidated"`  // answered after asking the origin about what was stale
	Passed      uint64 `json:"passed"`       // nothing for a cache: passed on
	Refused     uint64 `json:"refused"`      // answered with an error of surrogate's own
	Collapsed   uint64 `json:"collapsed"`    // answered by a fetch begun for another
	Fetches     uint64 `json:"fetches"`      // requests to origins that were to be stored
	FetchErrors uint64 `json:"fetch_errors"` // those that failed
	Stored      uint64 `json:"stored"`       // responses stored
	Early       uint64 `json:"early"`        // pages refreshed before they were stale (fresh.early)
	SentBytes   uint64 `json:"sent_bytes"`   // content sent to clients
}

func (r *siteReport) add(s *siteReport) {
	r.Hits += s.Hits
	r.Misses += s.Misses
	r.Stale += s.Stale
	r.Revalidated += s.Revalidated
	r.Passed += s.Passed
	r.Refused += s.Refused
	r.Collapsed += s.Collapsed
	r.Fetches += s.Fetches
	r.FetchErrors += s.FetchErrors
	r.Stored += s.Stored
	r.Early += s.Early
	r.SentBytes += s.SentBytes
}

func siteReportOf(s *proxy.SiteStats) siteReport {
	return siteReport{
		Site: s.Site, Hits: s.Requests["hit"], Misses: s.Requests["miss"], Stale: s.Requests["stale"],
		Revalidated: s.Requests["revalidated"], Passed: s.Requests["pass"], Refused: s.Requests["refused"],
		Collapsed: s.Collapsed, Fetches: s.Fetches, FetchErrors: s.FetchErrors, Stored: s.Stored, Early: s.Early, SentBytes: s.SentBytes,
	}
}

// A storeReport is what the store holds.
type storeReport struct {
	Entries    int       `json:"entries"`
	Bytes      int64     `json:"bytes"`
	Capacity   int64     `json:"capacity"`
	Names      int       `json:"names"`
	Fences     int       `json:"fences"`
	Edges      int       `json:"edges"`
	FenceBytes int64     `json:"fence_bytes"` // besides bytes, as are the next two
	EdgeBytes  int64     `json:"edge_bytes"`
	LogBytes   int64     `json:"log_bytes"`
	Seq        store.Seq `json:"seq"`
	Floor      store.Seq `json:"floor"`
	Evictions  uint64    `json:"evictions"`
	Expired    uint64    `json:"expired"`
	Swept      uint64    `json:"swept"`
	Refused    uint64    `json:"refused"` // fetched before a purge that covers them, and so not stored
}

// A report is the answer of /v1/stats.
type report struct {
	Began         time.Time    `json:"began"`
	UptimeSeconds float64      `json:"uptime_s"`
	Draining      bool         `json:"draining"`
	Total         siteReport   `json:"total"`
	Invalidations purge.Stats  `json:"invalidations"`
	Sites         []siteReport `json:"sites"`
	Store         storeReport  `json:"store"`
	Warming       *warmReport  `json:"warming"`
	Fleet         *fleetReport `json:"fleet,omitempty"` // all nodes together; absent without Redis
}

func (n *node) serveStats(w http.ResponseWriter, r *http.Request) {
	held, err := n.store.Stats(r.Context())
	if err != nil {
		problem(w, http.StatusServiceUnavailable, "The store failed: "+err.Error())
		return
	}
	out := report{
		Began: n.began, UptimeSeconds: time.Since(n.began).Seconds(), Draining: n.draining.Load(),
		Invalidations: n.purger.Stats(), Sites: []siteReport{},
		Store: storeReport{
			held.Entries, held.Bytes, held.Capacity, held.Names, held.Fences, held.Edges,
			held.FenceBytes, held.EdgeBytes, held.LogBytes, held.Seq, held.Floor,
			held.Evictions, held.Expired, held.Swept, held.Refused,
		},
	}
	if out.Warming, err = n.warmReport(r.Context()); err != nil {
		n.log.Warn("could not tell what waits to be warmed", "error", err)
	}
	out.Fleet = n.fleetReport(r.Context())
	for _, s := range n.proxy.Stats() {
		one := siteReportOf(&s)
		out.Sites = append(out.Sites, one)
		out.Total.add(&one)
	}
	reply(w, out)
}

// stats is the subcommand: it prints what /v1/stats answers.
func stats(p *program, args []string) error {
	fs := p.flags("stats")
	var c adminClient
	c.bind(fs, p)
	asJSON := fs.Bool("json", false, "print the JSON as it came")
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrongUsage("stats takes flags only")
	}
	body, err := c.get("/v1/stats")
	if err != nil {
		return err
	}
	if *asJSON {
		_, err = p.stdout.Write(body)
		return err
	}
	var r report
	if err := decode(body, &r); err != nil {
		return err
	}
	r.print(p.stdout)
	return nil
}
