package redisstore

import (
	"context"
	"embed"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed *.lua
var luaFiles embed.FS

// lua returns the script in a file beside this one. Their first lines say what
// they may do when memory is full: those that take away go on, those that add are
// refused as a whole, not half-way.
func lua(name string) *redis.Script {
	src, err := luaFiles.ReadFile(name + ".lua")
	if err != nil {
		panic(err) // it is embedded
	}
	return redis.NewScript(string(src))
}

var (
	putScript    = lua("put")
	removeScript = lua("remove")
	lookScript   = lua("look")
	enterScript  = lua("enter")
	leaveScript  = lua("leave")
	climbScript  = lua("climb")
	linkScript   = lua("link")
	commitScript = lua("commit")
	pruneScript  = lua("prune")
	fallenScript = lua("fallen")
	leadScript   = lua("lead")
	keepScript   = lua("keep")
	renewScript  = lua("renew")
)

// batch is how many commands go out in one pipeline at most.
const batch = 128

// A call is one run of a script, whose keys are of one slot.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
	cmd    *redis.Cmd // its answer, once eval has returned
}

// reply is the answer as a list; nil where it is none.
func (c *call) reply() []any {
	r, _ := c.cmd.Slice()
	return r
}

// eval runs scripts, of as many slots as there are, batch by batch. The error is
// that of the first that failed.
//
// The scripts go by their hash. A server that does not know one, after a restart
// or a failover, is sent its text: then and only then is that a second round
// trip.
func (s *Store) eval(ctx context.Context, calls []call) error {
	for len(calls) > 0 {
		n := min(len(calls), batch)
		if err := evalBatch(ctx, s.rdb, calls[:n]); err != nil {
			return err
		}
		calls = calls[n:]
	}
	return nil
}

func evalBatch(ctx context.Context, rdb redis.UniversalClient, calls []call) error {
	if len(calls) == 1 {
		c := &calls[0]
		if c.cmd = c.script.EvalSha(ctx, rdb, c.keys, c.args...); unknown(c.cmd.Err()) {
			c.cmd = c.script.Eval(ctx, rdb, c.keys, c.args...)
		}
		return nilIsNone(c.cmd.Err())
	}
	pipe := rdb.Pipeline()
	for i := range calls {
		c := &calls[i]
		c.cmd = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each answer has its error
	again := 0
	for i := range calls {
		if c := &calls[i]; unknown(c.cmd.Err()) {
			again++
			c.cmd = c.script.Eval(ctx, pipe, c.keys, c.args...)
		}
	}
	if again > 0 {
		_, _ = pipe.Exec(ctx)
	}
	for i := range calls {
		if err := nilIsNone(calls[i].cmd.Err()); err != nil {
			return err
		}
	}
	return nil
}

func unknown(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }

// nilIsNone takes the nil answer for what it is.
func nilIsNone(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// pipe sends commands together and returns the first error.
func (s *Store) pipe(ctx context.Context, add func(p redis.Pipeliner)) error {
	p := s.rdb.Pipeline()
	add(p)
	if p.Len() == 0 {
		return nil
	}
	cmds, _ := p.Exec(ctx)
	for _, c := range cmds {
		if err := nilIsNone(c.Err()); err != nil {
			return err
		}
	}
	return nil
}

// texts are the strings of a reply's list.
func texts(reply any) []string {
	list, _ := reply.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		if t, ok := x.(string); ok {
			out = append(out, t)
		}
	}
	return out
}
