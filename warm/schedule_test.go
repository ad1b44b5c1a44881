package warm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestScheduleNext(t *testing.T) {
	for _, c := range []struct{ schedule, after, want string }{
		{"every 6h", "2026-03-01T00:00:00Z", "2026-03-01T06:00:00Z"},
		{"every 6h", "2026-03-01T05:59:59Z", "2026-03-01T06:00:00Z"},
		{"every 90m", "2026-03-01T00:00:01Z", "2026-03-01T01:30:00Z"},
		{"hourly", "2026-03-01T23:30:00Z", "2026-03-02T00:00:00Z"},
		{"daily 04:00", "2026-03-01T03:59:59Z", "2026-03-01T04:00:00Z"},
		{"daily 04:00", "2026-03-01T04:00:00Z", "2026-03-02T04:00:00Z"},
		{"daily 04:00", "2026-03-01T05:30:00+02:00", "2026-03-01T04:00:00Z"},
		{"Mon,Thu  04:30", "2026-03-01T00:00:00Z", "2026-03-02T04:30:00Z"}, // a Sunday
		{"mon,thu 04:30", "2026-03-02T04:30:00Z", "2026-03-05T04:30:00Z"},
		{"sun 00:00", "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z"},
	} {
		s, err := ParseSchedule(c.schedule, time.ParseDuration)
		if err != nil {
			t.Fatal(err)
		}
		after, _ := time.Parse(time.RFC3339, c.after)
		if got := s.Next(after).Format(time.RFC3339); got != c.want {
			t.Errorf("%s after %s: %s, want %s", c.schedule, c.after, got, c.want)
		}
	}
	for _, bad := range []string{"", "every", "every 1s", "every -1h", "daily", "daily 24:00", "daily 4", "moon 04:00", "unm 04:00", "mon,,tue 04:00", "0 4 * * *", "hourly 04:00"} {
		if _, err := ParseSchedule(bad, time.ParseDuration); err == nil {
			t.Errorf("%q is understood", bad)
		}
	}
}

// TestScheduleOfAFleet: each moment has one run, however many nodes come to it.
func TestScheduleOfAFleet(t *testing.T) {
	list := filepath.Join(t.TempDir(), "urls.txt")
	if err := os.WriteFile(list, []byte("/a\n/b\nbad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		six, err := ParseSchedule("every 6h", time.ParseDuration)
		if err != nil {
			t.Fatal(err)
		}
		four, err := ParseSchedule("daily 04:00", time.ParseDuration)
		if err != nil {
			t.Fatal(err)
		}
		w.plans[0].Lists, w.plans[0].OnStart, w.plans[0].Schedule = []string{list, "/no/such/file"}, true, []Schedule{six, four}
		w.plans[1].Sitemaps, w.plans[1].Schedule = []string{"/"}, []Schedule{four}
		ctx, cancel := context.WithCancel(t.Context())
		var nodes sync.WaitGroup
		for range 3 {
			nodes.Go(func() {
				if err := w.in.RunSchedules(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(23 * time.Hour)
		cancel()
		nodes.Wait()
		runs, err := w.queue.Runs(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range runs {
			ids = append(ids, r.ID)
			if r.Kind != "start" && r.Kind != "schedule" || !r.Sealed {
				t.Errorf("%+v", r)
			}
		}
		all := strings.Join(ids, " ")
		// The bubble's time begins at midnight: start, 04:00, 06:00, 12:00 and 18:00 of shop, 04:00 of blog.
		if len(runs) != 6 || !strings.Contains(all, "schedule-shop-20000101T040000-list1") || !strings.Contains(all, "start-shop-20000101T000000-list1") ||
			!strings.Contains(all, "schedule-blog-20000101T040000") {
			t.Errorf("%d runs: %s", len(runs), all)
		}
	})
}

func TestSchedulesEndWithTheirContext(t *testing.T) {
	w := newTown(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.in.RunSchedules(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
