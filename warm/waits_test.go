package warm_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/warm"
)

func TestAllWait(t *testing.T) {
	type nodes = []map[string]warm.SiteWait
	down := func(s int64) warm.SiteWait { return warm.SiteWait{For: "down", Next: s} }
	others := warm.SiteWait{For: "left to other nodes"}
	for what, c := range map[string]struct {
		say  nodes
		want map[string]warm.SiteWait
	}{
		"nobody":                      {},
		"alone":                       {nodes{{"a": down(3)}}, map[string]warm.SiteWait{"a": down(3)}},
		"another works":               {say: nodes{{"a": down(3)}, {}}},
		"this one works":              {say: nodes{{}, {"a": down(3)}}},
		"the soonest try":             {nodes{{"a": down(9)}, {"a": down(4)}, {"a": down(7)}}, map[string]warm.SiteWait{"a": down(4)}},
		"it is left to one that does": {say: nodes{{"a": others}, {"b": others}}},
		"it is left to one that waits": {nodes{{"a": others}, {"a": down(2)}, {"a": others}},
			map[string]warm.SiteWait{"a": down(2)}},
		"down is worse than visitors": {nodes{{"a": {For: "visitors first"}}, {"a": down(2)}, {"a": {For: "resting", Next: 1}}},
			map[string]warm.SiteWait{"a": down(2)}},
	} {
		if got := warm.AllWait(c.say...); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

// TestARunSaysWhatItWaitsFor: over HTTP, while the origin is down, while
// visitors come first, and no longer.
func TestARunSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var visitors atomic.Int32
		c := newCrew(t, func(c *crew, o *warm.Options) {
			o.Visiting = func(site string) int {
				if site == "blog" {
					return int(visitors.Load())
				}
				return 0
			}
			c.fetch = func(ctx context.Context, j store.Job) warm.Result {
				if j.Site == "shop" && down.Load() {
					return warm.Result{Outcome: store.Outcome{State: store.Again, Why: "no answer"}, Origin: warm.End{Asked: true, Failed: true}}
				}
				return takes(ctx, 200*time.Millisecond)
			}
		})
		defer c.close()
		in := warm.NewIntake(warm.IntakeOptions{Queue: c.queue, Waits: func(context.Context) map[string]warm.SiteWait { return c.Waits() }})
		status := func(run string) (s warm.Status) {
			w := httptest.NewRecorder()
			in.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/warm/"+run, nil))
			if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
			return s
		}
		down.Store(true)
		visitors.Store(64)
		run := c.start(append(jobsOf("shop", 100), jobsOf("blog", 7)...))
		time.Sleep(10 * time.Second)
		s := status(run)
		if len(s.Waits) != 2 || s.Waits[0].Site != "shop" || s.Waits[0].For != "down" || s.Waits[0].Left != 100 || s.Waits[0].Next <= 0 || s.Waits[0].Next > 30 {
			t.Fatalf("%+v", s.Waits)
		}
		if w := s.Waits[1]; w.Site != "blog" || w.For != "visitors first" || w.Left != 7 || w.Next != 0 {
			t.Errorf("%+v", w)
		}
		if s.Retries < 5 || s.Trouble == nil || s.Trouble.Why != "no answer" {
			t.Errorf("%d retries, %+v", s.Retries, s.Trouble)
		}
		visitors.Store(0)
		time.Sleep(5 * time.Second)
		if s := status(run); len(s.Waits) != 1 || s.Done != 7 {
			t.Errorf("%+v", s)
		}
		down.Store(false)
		time.Sleep(35 * time.Second)
		if s := status(run); len(s.Waits) != 0 {
			t.Errorf("%+v", s.Waits)
		}
		c.over(run)
		if s := status(run); s.Trouble != nil || s.Retries == 0 {
			t.Errorf("over: %+v", s)
		}
	})
}

// TestWhatIsAtItsRateDoesNotWait: it is at work.
func TestWhatIsAtItsRateDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, func(c *crew, _ *warm.Options) { c.limits["shop"] = warm.Limits{Rate: 0.5} })
		defer c.close()
		run := c.start(jobsOf("shop", 5))
		time.Sleep(5 * time.Second)
		if p, err := c.queue.Progress(t.Context(), run); err != nil || p.Warmed != 3 || len(c.Waits()) != 0 {
			t.Errorf("%+v, %v, %v", p, err, c.Waits())
		}
	})
}
