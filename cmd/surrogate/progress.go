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

func (w *warming) newProgress() *progress {
	s := &progress{out: w.p.stderr}
	if w.quiet {
		s.out = io.Discard
	} else if f, ok := w.p.stderr.(*os.File); ok && isTerminal(f) {
		s.bar = newBar(f)
	}
	return s
}

func newBar(out io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions(1, progressbar.OptionSetWriter(out), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30), progressbar.OptionSetDescription("warming"))
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
		s.bar.Describe(what + rate(r) + aside(r)) // the bar's own rate is by the hour where it is slow
		if most != s.bar.GetMax() {
			s.bar.ChangeMax(most)
		}
		_ = s.bar.Set(r.Done) // it is only shown
		return
	}
	if time.Since(s.last) < lineEvery {
		return
	}
	line := fmt.Sprintf("surrogate: %d of %d", r.Done, r.Total) + rate(r)
	if r.ETA != nil {
		line += fmt.Sprintf(", %s left", time.Duration(*r.ETA)*time.Second)
	}
	s.say(line + aside(r))
}

func rate(r *warm.Status) string { return fmt.Sprintf(", %.1f/s", r.Rate) }

func (s *progress) say(line string) {
	if line != s.said {
		fmt.Fprintln(s.out, line)
	}
	s.last, s.said = time.Now(), line
}

// lost shows that it cannot be told where a run is. Why not is told if that
// lasts.
func (s *progress) lost(id string) {
	const text = "waiting for the admin API to say how far run "
	if s.bar != nil {
		s.bar.Describe(text + id + " is")
	} else if time.Since(s.last) >= lineEvery {
		s.say("surrogate: " + text + id + " is")
	}
}

// aside is what else there is to say of a run under way.
func aside(r *warm.Status) (text string) {
	if r.Failed > 0 {
		text += fmt.Sprintf(", %d failed", r.Failed)
	}
	if r.Retries > 0 && r.Remaining > 0 {
		text += ", tried again " + times(r.Retries)
	}
	return text + behind(r) + waitsOf(r)
}

// behind tells of a run that others may be ahead of.
func behind(r *warm.Status) string {
	if r.Others == 0 {
		return ""
	}
	return "; none done yet, and queued of other runs: " + count(r.Others, "URL")
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// waitsOf is what is in the way of a run.
func waitsOf(r *warm.Status) (text string) {
	for i, w := range r.Waits {
		if i == 3 {
			return text + "; waiting too: " + count(len(r.Waits)-i, "more site")
		}
		verb := "wait"
		if w.Left == 1 {
			verb = "waits"
		}
		text += fmt.Sprintf("; %d %s: %s", w.Left, verb, waitingFor(&w))
		if w.Next > 0 {
			text += fmt.Sprintf(", next try in %d s", w.Next)
		}
	}
	if len(r.Waits) > 0 && r.Trouble != nil {
		text += " (" + r.Trouble.Why + ")"
	}
	return text
}

// waitingFor is a wait in words.
func waitingFor(w *warm.Wait) string {
	switch w.For {
	case warm.Down.String():
		return "the origin of " + w.Site + " is down"
	case warm.Resting.String():
		return "the origin of " + w.Site + " rests"
	case warm.Busy.String():
		return "visitors of " + w.Site + " come first"
	}
	return w.Site + ": " + w.For
}

// end takes the bar away.
func (s *progress) end() {
	if s.bar != nil {
		_ = s.bar.Clear() // it was only shown
	}
}
