package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"surrogate/warm"
)

// conclude prints what came of a run, or so far. It is a failure if anything in
// it is one.
func (w *warming) conclude(s *warm.Status) error {
	bad := s.Failed+s.Dropped+len(s.Rejected) > 0 || s.State == "cancelled"
	switch {
	case w.json:
		if err := w.printJSON(s); err != nil {
			return err
		}
	case bad || !w.quiet:
		told := *s
		if w.said {
			told.Rejected = nil
		}
		printStatus(w.p.stdout, &told)
	}
	if bad {
		return errSaid
	}
	return nil
}

func (w *warming) printJSON(s *warm.Status) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("couldn't tell what came of it: %w", err)
	}
	fmt.Fprintln(w.p.stdout, string(b))
	return nil
}

// printStatus prints a run for people.
func printStatus(out io.Writer, s *warm.Status) {
	verb, until := "warmed", s.Ended
	switch s.State {
	case "cancelled":
		verb = "cancelled:"
	case "listing", "running":
		verb = "warming:"
	}
	if until.IsZero() {
		until = time.Now()
	}
	fmt.Fprintf(out, "%s %d of %s, %s in %s%s\n", verb, s.Warmed+s.Fresh, count(s.Total, "URL"), size(s.Bytes), until.Sub(s.At).Round(time.Millisecond), behind(s)+waitsOf(s))
	figure := func(n int, what string) {
		if n > 0 {
			fmt.Fprintf(out, "%8d  %s\n", n, what)
		}
	}
	figure(s.Warmed, "fetched")
	figure(s.Fresh, "fresh already")
	figure(s.Unkept, "not to be stored")
	for _, r := range s.Reasons {
		fmt.Fprintf(out, "%16d  %s: %s\n", r.Count, r.Why, someOf(r.URLs, r.Count))
	}
	figure(s.Failed, "failed")
	figure(s.Dropped, dropped(s))
	for _, f := range s.Failures {
		fmt.Fprintf(out, "  failed  %s: %s\n", f.URL, f.Why)
	}
	if more := s.Failed - len(s.Failures); more > 0 {
		fmt.Fprintf(out, "          and %d more\n", more)
	}
	for _, r := range s.Rejected {
		fmt.Fprintf(out, "  left out  %s\n", r)
	}
}

// dropped says why URLs of a run were dropped, as far as that is known.
func dropped(s *warm.Status) string {
	if s.State == "cancelled" {
		return "dropped: the run was cancelled"
	}
	return "dropped: more than warm.queue waited, and they were the coldest, or more than warm.max_urls in one run"
}

// someOf is a line of the first of so many URLs.
func someOf(urls []string, n int) string {
	text := strings.Join(urls, " ")
	if more := n - len(urls); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
