package redisstore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// A heardLog is what a store logs.
type heardLog struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *heardLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *heardLog) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

// Whatever is wrong with Redis: no read waits longer than its budget, a purge
// fails and says why, all works again by itself, and the log has a line when it
// began and one when it was over.
func TestTroubles(t *testing.T) {
	for _, tr := range []struct {
		name   string
		args   []string
		begin  func(r *redistest.Server)
		end    func(r *redistest.Server)
		says   string // the purge's error, or the log; "" if purges go on
		reads  bool   // reads go on
		change string // the subject of the lines in the log
	}{
		{
			name: "no rights", change: "Redis answers", says: "NOPERM",
			begin: func(r *redistest.Server) { r.Do("ACL", "SETUSER", "default", "-@all", "+acl", "+ping") },
			end:   func(r *redistest.Server) { r.Do("ACL", "SETUSER", "default", "+@all") },
		},
		{
			name: "no rights to its keys", change: "Redis answers", says: "NOPERM",
			begin: func(r *redistest.Server) { r.Do("ACL", "SETUSER", "default", "resetkeys", "~other:*") },
			end:   func(r *redistest.Server) { r.Do("ACL", "SETUSER", "default", "~*") },
		},
		{
			name: "loading", change: "Redis answers", says: "LOADING",
			args: []string{"--enable-debug-command", "yes", "--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"},
			begin: func(r *redistest.Server) {
				r.Do("DEBUG", "POPULATE", "4000")
				r.Save()
				r.RestartLoading()
			},
			end: (*redistest.Server).Ready,
		},
		{
			name: "full disk", change: "Redis takes writes", says: "MISCONF", reads: true,
			args: []string{"--enable-protected-configs", "yes", "--stop-writes-on-bgsave-error", "yes"},
			begin: func(r *redistest.Server) {
				r.Do("CONFIG", "SET", "dir", "/proc") // nobody can write there
				r.Do("CONFIG", "SET", "save", "3600 1000000")
				r.Do("BGSAVE")
				r.Until("it cannot save", func(ctx context.Context, c *redis.Client) bool {
					return strings.Contains(c.Info(ctx, "persistence").Val(), "rdb_last_bgsave_status:err")
				})
			},
			end: func(r *redistest.Server) {
				r.Do("CONFIG", "SET", "dir", r.Dir())
				r.Do("BGSAVE")
			},
		},
		{
			name: "read only", change: "Redis takes writes", says: "READONLY", reads: true,
			args:  []string{"--replica-serve-stale-data", "yes"},
			begin: func(r *redistest.Server) { r.Do("REPLICAOF", "127.0.0.1", "1") },
			end:   func(r *redistest.Server) { r.Do("REPLICAOF", "NO", "ONE") },
		},
		{
			name: "memory full", change: "Redis takes writes", reads: true,
			begin: func(r *redistest.Server) { r.Do("CONFIG", "SET", "maxmemory", "1") },
			end:   func(r *redistest.Server) { r.Do("CONFIG", "SET", "maxmemory", "0") },
		},
	} {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			r := redistest.Start(t, tr.args...)
			said := &heardLog{}
			s := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf, Log: slog.New(slog.NewTextHandler(said, nil))})
			l := &tried{t: t, s: s}
			waitFor(t, "all works", l.works)
			tr.begin(r)

			var err error
			waitFor(t, "it is noticed", func() bool {
				l.write()
				began := time.Now()
				_, gerr := s.Get(t.Context(), "http://shop.test/read", http.Header{})
				if took := time.Since(began); took > s.opt.Budget+time.Second {
					t.Errorf("a read took %v", took) // the second is a busy machine's
				}
				if tr.reads && gerr != nil {
					t.Errorf("a read: %v", gerr)
				}
				_, err = s.Purge(t.Context(), store.Purge{Names: []store.Name{"y"}})
				if said.count("no longer: "+tr.change) == 0 {
					return false
				}
				// A server that is started refuses connections at first.
				return tr.says == "" && err == nil || tr.says != "" && err != nil && strings.Contains(err.Error(), tr.says)
			})
			if _, derr := s.Dependents(t.Context(), []store.Name{"t"}); (derr == nil) != tr.reads {
				t.Errorf("what a purge asks before it is in force: %v", derr)
			}
			if !tr.reads {
				began := time.Now()
				if _, err := s.Get(t.Context(), "http://shop.test/read", http.Header{}); !errors.Is(err, ErrUnavailable) || time.Since(began) > 50*time.Millisecond {
					t.Errorf("a read took %v: %v", time.Since(began), err)
				}
			}
			tr.end(r)
			waitFor(t, "all works", l.works)
			for _, line := range []string{"no longer: " + tr.change, "again: " + tr.change} {
				if n := said.count(line); n != 1 {
					t.Errorf("%d times in the log: %s\n%s", n, line, said.buf.String())
				}
			}
		})
	}
}

// A tried store is used as ever, whatever its trouble.
type tried struct {
	t *testing.T
	s *Store
}

// write tries to store a page.
func (l *tried) write() error {
	key := store.Key("http://shop.test/a")
	f, err := l.s.Get(l.t.Context(), key, http.Header{})
	if err != nil {
		return err
	}
	return l.s.Put(l.t.Context(), &store.Entry{
		Key: key, Status: 200, Body: []byte("x"), Tags: store.NamesOf("t"),
		Life: store.Life{Born: time.Now(), TTL: time.Hour}, Ticket: f.Ticket,
	})
}

// works reports whether pages are stored and found, and purges confirmed.
func (l *tried) works() bool {
	if !l.s.Hears() || l.write() != nil {
		return false
	}
	if f, err := l.s.Get(l.t.Context(), "http://shop.test/a", http.Header{}); err != nil || !f.Hit || f.Doubt {
		return false
	}
	ev, err := l.s.Purge(l.t.Context(), store.Purge{Names: []store.Name{"t"}})
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
	defer cancel()
	_, all, err := l.s.Await(ctx, ev.Seq)
	return err == nil && all
}

// A purge that was sent and not answered may be in force, and says so; one that
// was not sent, or refused, is not.
func TestAPurgeWhoseAnswerIsLostSaysSo(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	s.awaited(t, "x")
	purge := func() error {
		_, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"y"}})
		return err
	}
	before := s.heard()
	r.Pause()
	if err := purge(); !errors.Is(err, store.ErrUnsure) {
		t.Errorf("without an answer: %v", err)
	}
	waitFor(t, "the breaker is open", s.reach.open.Load)
	if err := purge(); err == nil || errors.Is(err, store.ErrUnsure) {
		t.Errorf("without being sent: %v", err)
	}
	r.Continue()
	waitFor(t, "the node hears", s.Hears)
	waitFor(t, "what was purged is heard", func() bool { return s.heard() > before })
	r.Do("REPLICAOF", "127.0.0.1", "1")
	if err := purge(); err == nil || errors.Is(err, store.ErrUnsure) {
		t.Errorf("refused: %v", err)
	}
	r.Kill()
	if err := purge(); err == nil {
		t.Error("a dead server purged")
	}
}
