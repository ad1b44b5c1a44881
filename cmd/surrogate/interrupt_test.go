package main

import (
	"errors"
	"path/filepath"
	"regexp"
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
		again := "surrogate: interrupted; what was queued stays queued as run mine: surrogate warm --admin " + p.admin + " --run mine shows how far it is, and with --cancel ends it\n"
		if !strings.Contains(q.log.String(), again) || !regexp.MustCompile(`surrogate: left: \d+ of 30 URLs\n`).MatchString(q.log.String()) ||
			code != 0 || !strings.Contains(out, "warmed 30 of 30") {
			t.Errorf("%s\nexit %d: %s%s", q.log, code, out, errs)
		}
	}
}

// TestSecondCtrlC: it waits for nothing, not even for an admin API that hangs, and
// has said which run it leaves.
func TestSecondCtrlC(t *testing.T) {
	s := newShelf(t)
	s.gate = make(chan struct{})
	defer close(s.gate)
	p := serving(t, "--config", withSite(t, s.url, ""))
	q := launch(t, programWith(t, "warm", "--admin", p.admin, "--id", "mine", "http://shop.example/a"))
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
	if code := q.ended(t); code != 130 || time.Since(began) > 5*time.Second || strings.Count(q.log.String(), "stays queued as run mine: surrogate warm --admin ") != 1 {
		t.Errorf("exit %d after %v: %s", code, time.Since(began), q.log)
	}
}

// TestCancelARun that an earlier call has queued.
func TestCancelARun(t *testing.T) {
	s := newShelf(t)
	s.gate = make(chan struct{})
	p := serving(t, "--config", withSite(t, s.url, "warm.concurrency = 1\n"))
	list := writeFile(t, filepath.Join(t.TempDir(), "urls.txt"), pages(30))
	code, out, errs := said(t, "warm", "--admin", p.admin, "--token", "secret", "--detach", "--id", "x", list)
	if code != 0 || out != "queued as run x; surrogate warm --admin "+p.admin+" --token … --run x shows how far it is\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	eventually(t, func() error {
		if s.times("/p/0") == 0 {
			return errors.New("not begun")
		}
		return nil
	})
	if code, out, errs := said(t, "warm", "--admin", p.admin, "--run", "x", "--cancel"); code != 0 || out != "cancelled run x: done 0 of 30 URLs, dropped 29\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	close(s.gate)
	if code, out, errs := said(t, "warm", "--admin", p.admin, "--run", "x"); code != 1 || !strings.Contains(out, "cancelled: 1 of 30 URLs") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := said(t, "warm", "--admin", p.admin, "--id", "y", "http://shop.example/a"); code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, out, errs := said(t, "warm", "--admin", p.admin, "--run", "y", "--cancel"); code != 0 || out != "run y was over already\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := said(t, "warm", "--admin", p.admin, "--run", "z", "--cancel"); code != 1 || out != "" || errs != "surrogate: run z: no run with this id is known\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// TestNobodyIsThere: it is said once, and of what run.
func TestNobodyIsThere(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"http://shop.example/a", `^surrogate: couldn't reach the admin API: .*; --admin says where it is\n$`},
		{"--run x", `^surrogate: couldn't see how far run x is: couldn't reach the admin API: .*; surrogate warm --admin 127.0.0.1:1 --run x asks again\n$`},
	} {
		code, out, errs := said(t, append([]string{"warm", "--admin", "127.0.0.1:1"}, strings.Fields(c.args)...)...)
		if code != 1 || out != "" || !regexp.MustCompile(c.says).MatchString(errs) {
			t.Errorf("%s: exit %d: %s%s", c.args, code, out, errs)
		}
	}
}
