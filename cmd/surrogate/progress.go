package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"surrogate/warm"
)

// A progress shows how far a run is on standard error: a bar on a terminal,
// lines elsewhere.
type progress struct {
	bar  *progressbar.ProgressBar // nil for lines
	out  io.Writer
	last time.Time // of the last line
	said string
}

// lineEvery is the time between two lines.
const lineEvery = 2 * time.Second

func (p *program) newProgress() *progress {
	s := &progress{out: p.stderr}
	if f, ok := p.stderr.(*os.File); ok && isTerminal(f) {
		s.bar = progressbar.NewOptions(1, progressbar.OptionSetWriter(f), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("URLs"), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(30), progressbar.OptionSetDescription("warming"))
	}
	return s
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// at shows where a run is.
func (s *progress) at(r *warm.Status) {
	if s.bar != nil {
		what, most := "warming", r.Total
		if r.State == "listing" {
			// A bar that is full is finished for good, and there is more to come.
			what, most = "listing", max(r.Total, r.Done+1)
		}
		if r.Failed > 0 {
			what += fmt.Sprintf(", %d failed", r.Failed)
		}
		s.bar.Describe(what)
		if most != s.bar.GetMax() {
			s.bar.ChangeMax(most)
		}
		_ = s.bar.Set(r.Done) // it is only shown
		return
	}
	if time.Since(s.last) < lineEvery {
		return
	}
	line := fmt.Sprintf("surrogate: %d of %d, %.1f/s", r.Done, r.Total, r.Rate)
	if r.ETA != nil {
		line += fmt.Sprintf(", %s left", time.Duration(*r.ETA)*time.Second)
	}
	if r.Failed > 0 {
		line += fmt.Sprintf(", %d failed", r.Failed)
	}
	if line != s.said {
		fmt.Fprintln(s.out, line)
	}
	s.last, s.said = time.Now(), line
}

// end takes the bar away.
func (s *progress) end() {
	if s.bar != nil {
		_ = s.bar.Clear() // it was only shown
	}
}
