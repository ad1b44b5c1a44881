package warm

import (
	"context"
	"errors"
	"iter"
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"surrogate/store"
)

// Options are what a Warmer works with. Queue, Fetch and Sites are needed.
type Options struct {
	Queue store.Queue

	// Fetch makes a job's page be stored, unless it is fresh already, and tells
	// what came of it. The outcome Again means a failure that may pass: the Warmer
	// tries once more after a while, and a bounded number of times, with Why as
	// the reason should that not help. It returns soon after ctx ends.
	Fetch func(ctx context.Context, j store.Job) Result

	// Links returns the jobs that a page leads to, of a job that is to be followed
	// (Job.Depth above 0). They are queued in its run, each once. Nil follows
	// nothing.
	Links func(j store.Job, r *Result) []store.Job

	// Sites returns how much each site's origin may be asked for. It is called
	// often; the answer may change. A site that it does not name is not paced.
	Sites func() map[string]Limits

	// Share says which of how many nodes this one is, counted from 0: each takes
	// its share of a site's limits. Nil is the only one.
	Share func() (rank, nodes int)

	// Visiting is how many fetches of visitors are under way at a site's origin.
	// Nil is none.
	Visiting func(site string) int

	// Heat is how hot the page of a job is, for jobs that come without. May be nil.
	Heat func(j *store.Job) float64

	Log     *slog.Logger // nil: none
	Metrics *metrics.Set // nil counts into a set of its own
}

// A Result is what came of a job's fetch.
type Result struct {
	store.Outcome
	Joined bool         // somebody else's fetch did it
	Status int          // of the response; 0 where there is none
	Page   *store.Entry // what is stored now, for following its links; nil where nothing is
	Next   string       // where a redirect leads, absolute; "" if it is none
}

// A Warmer takes jobs from a queue and has their pages fetched, as fast as each
// site's origin bears. Its methods may be called from any goroutine.
type Warmer struct {
	o Options
}

// New returns a Warmer. It starts nothing; see Run.
func New(o Options) *Warmer { return &Warmer{o: o} }

// Run warms until ctx ends. Then it hands back what it has taken and returns,
// without waiting for fetches under way.
func (w *Warmer) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Start opens a run and queues its jobs in the background as they come, until
// the list or ctx ends, or the Warmer stops. An error that the list yields ends
// it, and stands among the run's failures: what is wrong with one URL alone is
// yielded as a job with that URL, which then fails by itself. Job.Run is
// ignored, and where Job.Heat is 0, Options.Heat is asked. created is false, and
// the jobs are not read, where the run exists already.
func (w *Warmer) Start(ctx context.Context, r store.Run, jobs iter.Seq2[store.Job, error]) (id string, created bool, err error) {
	return "", false, errors.ErrUnsupported
}

// Feed does the same and returns when all jobs are queued. dropped are those
// that found no room, because hotter ones have it.
func (w *Warmer) Feed(ctx context.Context, r store.Run, jobs iter.Seq2[store.Job, error]) (id string, added, dropped int, err error) {
	return "", 0, 0, errors.ErrUnsupported
}
