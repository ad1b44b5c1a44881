package warm

import (
	"cmp"
	"strings"
	"time"

	"surrogate/store"
)

// A Status is how far a run is, as the admin API tells it.
type Status struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	What      string    `json:"what,omitempty"`
	By        string    `json:"by,omitempty"`
	At        time.Time `json:"at"`
	State     string    `json:"state"` // "listing" while its URLs are not all known, "running", "done", "cancelled"
	Total     int       `json:"total"` // URLs so far, sitemaps included
	Done      int       `json:"done"`  // of them
	Warmed    int       `json:"warmed"`
	Fresh     int       `json:"fresh"`
	Unkept    int       `json:"unkept"`
	Failed    int       `json:"failed"`
	Dropped   int       `json:"dropped"`
	Remaining int       `json:"remaining"`
	Bytes     int64     `json:"bytes"`
	Rate      float64   `json:"rate"`           // URLs a second since it began, those dropped left out
	ETA       *int64    `json:"eta_s,omitzero"` // seconds left at that rate; absent while that cannot be told
	Ended     time.Time `json:"ended,omitzero"`
	Failures  []Failure `json:"failures,omitempty"` // the first of them
	Reasons   []Reason  `json:"unkept_reasons,omitempty"`
	Retries   int       `json:"retries"`            // how often a URL that failed was put back, to be tried again
	Trouble   *Failure  `json:"trouble,omitempty"`  // the last of those, while there is something left
	Waits     []Wait    `json:"waits,omitempty"`    // what is in the way of what is left
	Others    int       `json:"others,omitzero"`    // URLs of other runs that are queued too, while none of this one is done and nothing else is in the way
	Rejected  []string  `json:"rejected,omitempty"` // what of its list was not understood, and why it ended early
}

// A Failure is one URL that could not be warmed.
type Failure struct {
	URL string `json:"url"`
	Why string `json:"why"`
}

// A Reason is why some URLs were fetched and are not kept.
type Reason struct {
	Why   string   `json:"why"`
	Count int      `json:"count"`
	URLs  []string `json:"urls"` // the first of them
}

// StatusOf is the Status of a run at a moment, when some sites wait.
func StatusOf(p *store.Progress, now time.Time, sites map[string]SiteWait) Status {
	s := Status{
		ID: p.ID, Kind: p.Kind, What: p.What, By: p.By, At: p.At, Total: p.Total, Done: p.Settled(),
		Warmed: p.Warmed, Fresh: p.Fresh, Unkept: p.Unkept, Failed: p.Failed, Dropped: p.Dropped,
		Remaining: max(0, p.Total-p.Settled()), Bytes: p.Bytes, Ended: p.Ended, Retries: p.Retries,
	}
	if !p.Done() {
		s.Waits = waitsOf(p, sites)
		if p.Retries > 0 {
			s.Trouble = &Failure{p.Trouble.URL, p.Trouble.Why}
		}
	}
	switch {
	case p.Cancelled:
		s.State = "cancelled"
	case p.Done():
		s.State = "done"
	case p.Sealed:
		s.State = "running"
	default:
		s.State = "listing"
	}
	until := now
	if !p.Ended.IsZero() {
		until = p.Ended
	}
	if took := until.Sub(p.At).Seconds(); took > 0 {
		s.Rate = float64(s.Done-s.Dropped) / took
	}
	if s.Rate > 0 && !p.Done() {
		s.ETA = new(int64(float64(s.Remaining) / s.Rate))
	}
	for _, x := range p.Reasons {
		s.Reasons = append(s.Reasons, Reason{cmp.Or(x.Why, "other reasons"), x.Count, x.URLs})
	}
	for _, f := range p.Failures {
		if f.URL == "" {
			s.Rejected = append(s.Rejected, strings.Split(f.Why, "\n")...)
		} else {
			s.Failures = append(s.Failures, Failure{f.URL, f.Why})
		}
	}
	return s
}
