package main

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCtrlC: the rest stays queued, or is cancelled, as asked; and a second one
// waits for nothing.
func TestCtrlC(t *testing.T) {
	for _, cancels := range []bool{false, true} {
		s := newShelf(t)
		s.gate = make(chan struct{})
		p := serving(t, "--config", withSite(t, s.url, ""))
		args := []string{"warm", "--admin", p.admin, "--id", "mine", writeFile(t, filepath.Join(t.TempDir(), "urls.txt"), pages(30))}
		if cancels {
			args = append(args, "--on-interrupt", "cancel")
		}
		q := launch(t, programWith(t, args...))
		q.log.await(t, `surrogate: \d+ of 30`)
		q.signal(t, syscall.SIGINT)
		if code := q.ended(t); code != 130 {
			t.Errorf("exit %d: %s", code, q.log)
		}
		close(s.gate)
		code, out, errs := said(t, "warm", "--admin", p.admin, "--run", "mine")
		if cancels {
			if !strings.Contains(q.log.String(), "cancelled run mine") || code != 1 || !strings.Contains(out, "cancelled:") {
				t.Errorf("%s\nexit %d: %s%s", q.log, code, out, errs)
			}
			if s.times("/p/29") != 0 {
				t.Error("it went on")
			}
			continue
		}
		if !strings.Contains(q.log.String(), "stay queued as run mine") || code != 0 || !strings.Contains(out, "warmed 30 of 30") {
			t.Errorf("%s\nexit %d: %s%s", q.log, code, out, errs)
		}
	}
}

// TestSecondCtrlC: it waits for nothing, not even for an admin API that hangs.
func TestSecondCtrlC(t *testing.T) {
	s := newShelf(t)
	s.gate = make(chan struct{})
	defer close(s.gate)
	p := serving(t, "--config", withSite(t, s.url, ""))
	q := launch(t, programWith(t, "warm", "--admin", p.admin, "http://shop.example/a"))
	q.log.await(t, `surrogate: 0 of 1`)
	p.signal(t, syscall.SIGSTOP)
	defer p.signal(t, syscall.SIGCONT)
	began := time.Now()
	eventually(t, func() error {
		select {
		case <-q.done:
			return nil
		default:
			_ = q.cmd.Process.Signal(syscall.SIGINT) // it may just have ended
			return errors.New("it goes on")
		}
	})
	if code := q.ended(t); code != 130 || time.Since(began) > 5*time.Second {
		t.Errorf("exit %d after %v", code, time.Since(began))
	}
}
