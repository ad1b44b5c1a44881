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

var (
	sixHours = Schedule{Every: 6 * time.Hour}
	daily4   = Schedule{Days: [7]bool{true, true, true, true, true, true, true}, At: 4 * time.Hour}
)

func TestScheduleNext(t *testing.T) {
	twice := Schedule{Days: [7]bool{1: true, 4: true}, At: 4*time.Hour + 30*time.Minute} // Mondays and Thursdays
	for _, c := range []struct {
		schedule    Schedule
		after, want string
	}{
		{sixHours, "2026-03-01T00:00:00Z", "2026-03-01T06:00:00Z"},
		{sixHours, "2026-03-01T05:59:59Z", "2026-03-01T06:00:00Z"},
		{Schedule{Every: 90 * time.Minute}, "2026-03-01T00:00:01Z", "2026-03-01T01:30:00Z"},
		{Schedule{Every: time.Hour}, "2026-03-01T23:30:00Z", "2026-03-02T00:00:00Z"},
		{daily4, "2026-03-01T03:59:59Z", "2026-03-01T04:00:00Z"},
		{daily4, "2026-03-01T04:00:00Z", "2026-03-02T04:00:00Z"},
		{daily4, "2026-03-01T05:30:00+02:00", "2026-03-01T04:00:00Z"},
		{twice, "2026-03-01T00:00:00Z", "2026-03-02T04:30:00Z"}, // from a Sunday
		{twice, "2026-03-02T04:30:00Z", "2026-03-05T04:30:00Z"},
		{Schedule{Days: [7]bool{true}}, "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z"},
		{Schedule{}, "2026-03-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		after, _ := time.Parse(time.RFC3339, c.after)
		if got := c.schedule.Next(after).Format(time.RFC3339); got != c.want {
			t.Errorf("%+v after %s: %s, want %s", c.schedule, c.after, got, c.want)
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
		w.plans[0].Lists, w.plans[0].OnStart, w.plans[0].Schedule = []string{list, "/no/such/file"}, true, []Schedule{sixHours, daily4}
		w.plans[1].Sitemaps, w.plans[1].Schedule = []string{"/"}, []Schedule{daily4}
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
