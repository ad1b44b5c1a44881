package redisstore

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

//go:embed control.lua fall.lua begin.lua purge.lua settle.lua load.lua trim.lua lease.lua nodes.lua release.lua
var controlFiles embed.FS

// The control plane's scripts. They may run when memory is full: what they
// write is small, and without it nobody could purge.
var (
	beginScript  = controlScript("begin")
	purgeScript  = controlScript("fall", "purge")
	settleScript = controlScript("fall", "settle")
	loadScript   = controlScript("load")
	trimScript   = controlScript("trim")
	leaseScript  = controlScript("lease")
	nodesScript  = controlScript("nodes")
)

// controlScript joins the parts of a script.
func controlScript(parts ...string) *redis.Script {
	return joinScript("#!lua flags=allow-oom\n", append([]string{"control"}, parts...)...)
}

func joinScript(head string, parts ...string) *redis.Script {
	var b strings.Builder
	b.WriteString(head)
	for _, p := range parts {
		src, err := controlFiles.ReadFile(p + ".lua")
		if err != nil {
			panic(err) // it is embedded
		}
		b.Write(src)
	}
	return redis.NewScript(b.String())
}

// errChanged says that the incarnation a node knows is not the current one.
var errChanged = errors.New("another incarnation has begun")

// patience is how long a step of the control plane may take.
const patience = 2 * time.Second

// run runs a script of the control plane.
func (s *Store) run(ctx context.Context, op string, sc *redis.Script, keys []string, args ...any) (out []any, err error) {
	err = s.try(ctx, op, patience, false, func(ctx context.Context) error {
		v, err := sc.Run(ctx, s.ctl, keys, args...).Result()
		if err != nil {
			return known(err)
		}
		if list, ok := v.([]any); ok {
			out = list
		} else {
			out = []any{v}
		}
		return nil
	})
	return out, err
}

// known makes an error of ours of an answer that is one.
func known(err error) error {
	if strings.HasPrefix(err.Error(), "CHANGED") {
		return errChanged
	}
	return err
}

// maxLogged is how many names, and how many bytes of them, a purge may have
// that goes into the log as a whole. Others keep their names in a list.
const (
	maxLogged      = 500
	maxLoggedBytes = 64 << 10
	stageBatch     = 500
)

// A logged is what the log keeps of a purge, besides its number and time.
type logged struct {
	Names []store.Name `json:"names,omitempty"` // without those of a list
	Asked []string     `json:"asked,omitempty"`
	Soft  bool         `json:"soft,omitempty"`
	ID    string       `json:"id,omitempty"`
	By    string       `json:"by,omitempty"`
	Why   string       `json:"why,omitempty"`

	Rewarm int `json:"rewarm,omitempty"`
}

// Purge implements store.Store. It fails closed: an error means that the purge
// is not confirmed, and store.ErrUnsure that the fences may stand nevertheless.
func (s *Store) Purge(ctx context.Context, p store.Purge) (store.Event, error) {
	if err := s.usable(ctx); err != nil {
		return store.Event{}, err
	}
	if err := s.book.Takes(p.Names); err != nil {
		return store.Event{}, fmt.Errorf("redisstore: purge: %w", err)
	}
	if s.reach.open.Load() {
		return store.Event{}, s.reach.unavailable("purge")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for {
		inc := s.inc.Load()
		if inc == nil {
			return store.Event{}, fmt.Errorf("redisstore: purge: %w", errNotReady)
		}
		ev, err := s.commit(ctx, inc, p)
		if errors.Is(err, errChanged) {
			// Nothing was done. Once this node knows the new incarnation it may ask again.
			if err = s.rejoin(ctx, inc); err == nil {
				continue
			}
		}
		if err != nil {
			return store.Event{}, err
		}
		s.hear(ctx, inc, &ev)
		return ev, nil
	}
}

// commit raises the fences in Redis.
func (s *Store) commit(ctx context.Context, inc *incarnation, p store.Purge) (store.Event, error) {
	names := distinct(p.Names)
	bytes := 0
	for _, n := range names {
		bytes += len(n)
	}
	for _, a := range p.Asked {
		bytes += len(a)
	}
	keep := logged{Names: p.Names, Asked: p.Asked, Soft: p.Soft, ID: p.ID, By: p.By, Why: p.Why, Rewarm: p.Rewarm}
	keys := []string{s.stateKey(), s.logKey(), s.fencesKey(), s.softKey(), s.clockKey(), s.bigKey(), s.nodesKey()}
	args := []any{inc.id, flag(p.Soft), "", s.opt.Purges}
	if len(names) > maxLogged || bytes > maxLoggedBytes {
		token := strconv.FormatUint(rand.Uint64(), 36)
		// What was asked for is part of what was, and may be as long.
		keep.Names = nil
		if len(keep.Asked) > 100 {
			keep.Asked = append(keep.Asked[:100:100], fmt.Sprintf("… %d in all", len(p.Asked)))
		}
		if err := s.stage(ctx, token, names); err != nil {
			return store.Event{}, err
		}
		keys = append(keys, s.namesKey(token))
		args = append(args, token, len(names))
	} else {
		for _, n := range names {
			args = append(args, string(n))
		}
	}
	payload, err := json.Marshal(keep)
	if err != nil {
		return store.Event{}, fmt.Errorf("redisstore: purge: %w", err)
	}
	args[2] = payload
	out, err := s.run(ctx, "purge", purgeScript, keys, args...)
	if mayHaveRun(err) {
		return store.Event{}, fmt.Errorf("%w: %w", store.ErrUnsure, err)
	}
	if err != nil {
		return store.Event{}, err
	}
	if len(out) < 3 {
		return store.Event{}, fmt.Errorf("redisstore: purge: an answer of %d values", len(out))
	}
	ev := store.Event{Purge: p, Seq: seqOf(text(out, 0)), At: micros(text(out, 1))}
	s.acks.keep(ev.Seq, rollOf(inc, out[1:]))
	return ev, nil
}

// distinct is names once each, and last the one that every purge takes with it.
func distinct(names []store.Name) []store.Name {
	seen := map[store.Name]bool{store.CatchAllName: true}
	out := make([]store.Name, 0, len(names)+1)
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return append(out, store.CatchAllName)
}

// stage puts the names of a large purge where its commit finds them. Until then
// they end by themselves.
func (s *Store) stage(ctx context.Context, token string, names []store.Name) error {
	key := s.namesKey(token)
	for from := 0; from < len(names); from += stageBatch {
		some := names[from:min(from+stageBatch, len(names))]
		args := make([]any, len(some))
		for i, n := range some {
			args[i] = string(n)
		}
		err := s.try(ctx, "purge: stage", patience, false, func(ctx context.Context) error {
			_, err := s.ctl.Pipelined(ctx, func(p redis.Pipeliner) error {
				p.RPush(ctx, key, args...)
				p.PExpire(ctx, key, time.Minute)
				return nil
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// names reads the list of a large purge, in pages.
func (s *Store) names(ctx context.Context, token string) ([]store.Name, error) {
	var out []store.Name
	for {
		var page []string
		err := s.try(ctx, "names of a purge", patience, false, func(ctx context.Context) (err error) {
			page, err = s.ctl.LRange(ctx, s.namesKey(token), int64(len(out)), int64(len(out)+stageBatch-1)).Result()
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, n := range page {
			out = append(out, store.Name(n))
		}
		if len(page) < stageBatch {
			return out, nil
		}
	}
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return ""
}

// text is the i-th value of an answer.
func text(out []any, i int) string {
	if i >= len(out) || out[i] == nil {
		return ""
	}
	return fmt.Sprint(out[i])
}

// micros is a time by the keeper's clock.
func micros(s string) time.Time {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.UnixMicro(n)
}
