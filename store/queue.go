package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// Errors of a Queue that callers branch on.
var (
	// ErrNoRun is a run that the queue does not know, or forgot.
	ErrNoRun = errors.New("no such run")
	// ErrRunOver refuses jobs for a run that is done or was cancelled.
	ErrRunOver = errors.New("the run is over")
	// ErrRuns refuses a run because as many as may be are under way.
	ErrRuns = errors.New("too many runs are under way")
)

// A Queue holds what is to be warmed, the hottest first. Over a fleet it is one
// queue: a job is handed to one node, and to another one if that dies. All
// methods may be called at once from any goroutine.
//
// A queue within a process is exactly ordered by heat. That of a fleet is ordered
// by bands, in each of which heat differs by at most a factor of two. Jobs as hot
// as each other, or of one band, come in the order in which they were added.
//
// Jobs belong to runs: a list, a sitemap, a crawl, what one purge took with it.
// A run counts what became of its jobs, so any node can tell how far it is. It
// is forgotten a day after the last change to it. A fleet's queue may lose a run,
// or all of them, with its Redis: such a run is unknown, and jobs of it that are
// left are handed out and counted nowhere.
type Queue interface {
	// Begin opens a run. Of runs with one ID the first is kept: created is false
	// for the others, which change nothing. An empty ID is given a new one, which
	// is returned. ErrRuns if there are too many that are not done.
	Begin(ctx context.Context, r Run) (id string, created bool, err error)

	// Add queues jobs of a run. Job.ID and Job.Taken are ignored. A job whose URL
	// and Pick the run has had already is left out, and counted in none of the
	// returned figures. Where there is no room, the coldest jobs of the queue
	// make room for hotter ones: dropped counts those of these jobs that found
	// none, and every job that had to go is counted as Dropped in its own run.
	// So is what is beyond the most that a run may have. A job that was taken
	// once is not dropped; what is put back always finds room.
	//
	// After an error some of the jobs may have been added. Adding them all again
	// adds the rest. ErrNoRun, ErrRunOver.
	Add(ctx context.Context, run string, jobs []Job) (added, dropped int, err error)

	// Seal says that a run gets no more jobs, except from those it has: it is
	// done when all of them are settled. A job that has more to add adds it before
	// it is settled. why is the failure that ended the list early, if any; it
	// stands first among the run's failures, without a URL. ErrNoRun.
	Seal(ctx context.Context, run string, why string) error

	// Take hands out up to n jobs, hottest first, and waits for one if there is
	// none, until ctx ends. A job is this taker's alone for the queue's lease;
	// after that, if it was neither renewed nor settled, it is handed to whoever
	// asks next, with Taken one higher. Sites that skip says true of are passed
	// over: their jobs keep their place. skip may be nil; it is asked again every
	// 100 ms while there are only jobs of such sites, and must not call the queue.
	//
	// Trouble with Redis is waited out. The error is that of ctx, ErrClosed, or
	// one that waiting does not mend.
	Take(ctx context.Context, n int, skip func(site string) bool) ([]Job, error)

	// Renew prolongs the lease of jobs whose fetch takes long. It leaves alone
	// what has been handed to somebody else, or is settled.
	Renew(ctx context.Context, jobs []Job) error

	// Settle ends a job, and counts it in its run. It does nothing if the job has
	// been settled, by whomever: of two takers, one of which let its lease run
	// out, the first to settle counts. Again puts it back instead: it is handed
	// out once more after o.After, with Taken one higher. Again does nothing if
	// the job has been handed to somebody else meanwhile; if the run was
	// cancelled, the job is dropped.
	Settle(ctx context.Context, j Job, o Outcome) error

	// Cancel ends a run: what is queued is dropped, what is taken is finished, or
	// dropped once its lease is over. It seals the run. A run that is done stays as
	// it is. ErrNoRun.
	Cancel(ctx context.Context, run string) error

	// Progress tells how far a run is; ErrNoRun if it is not known.
	Progress(ctx context.Context, run string) (Progress, error)

	// Runs returns the runs that are known, those begun last first, at most
	// limit, without their failures and reasons.
	Runs(ctx context.Context, limit int) ([]Progress, error)

	// Stats returns what the queue holds.
	Stats(ctx context.Context) (QueueStats, error)

	// Close ends all waiting Takes. What this node has taken is handed out again.
	// Whoever calls it has settled what he is going to settle.
	Close() error
}

// A Run is one thing asked of the warmer.
type Run struct {
	ID   string
	Kind string // "list", "sitemap", "crawl", "purge", "start", "schedule", "event"
	What string // what it was asked for, in its own words: a file's name, a URL, a purge's ID
	By   string // who asked, for the log
	At   time.Time
	Sum  string // of what it was asked for, to tell whether it is asked for the same again; "" where nobody will
}

// A Job is one URL to be warmed, for one pick.
type Job struct {
	ID    string  // the queue's name for it
	Run   string  // the run it belongs to
	Site  string  // the name of the site that serves it
	URL   string  // absolute, as a client would ask for it
	Vary  string  // the fields that Pick has values for, as in Entry.Vary; "" for a plain request
	Pick  Pick    // asks for what visitors asked for
	Heat  float64 // how often it was asked for lately; the hotter the sooner
	Depth int     // how many links further the page is followed
	Force bool    // fetch even what is stored and fresh
	Taken int     // how often it was taken before
}

// An Outcome is what became of a job.
type Outcome struct {
	State OutcomeState
	Why   string        // of Failed, Unkept and Again: the reason, for whoever asked for the run
	Bytes int64         // what was received
	Took  time.Duration // how long it took
	After time.Duration // of Again: not before
}

// An OutcomeState is one of the ways a job can end.
type OutcomeState uint8

// The states.
const (
	Warmed  OutcomeState = iota // fetched and stored
	Fresh                       // stored and fresh already: not fetched
	Unkept                      // fetched, and not to be stored; Why says why not
	Failed                      // not fetched; Why says why not
	Again                       // not now: to be put back
	Dropped                     // no room for it, or its run was cancelled
)

// A Progress is how far a run is.
type Progress struct {
	Run
	Sealed    bool // all its jobs are known
	Cancelled bool
	Total     int // jobs it had so far
	Warmed    int
	Fresh     int
	Unkept    int
	Failed    int
	Dropped   int
	Bytes     int64
	Ended     time.Time    // when it was done; zero before
	Failures  []URLFailure // the first of them, at most MaxFailures
	Reasons   []Reason     // why pages were not kept, the most frequent first

	Left    map[string]int // jobs that are not settled, by site; nil of a run that was cancelled
	Retries int            // how often a job was put back with a reason
	Trouble URLFailure     // the last of those
}

// MaxFailures is how many failures a run remembers in words. All are counted.
const MaxFailures = 100

// A URLFailure says what went wrong with one URL.
type URLFailure struct {
	URL string
	Why string
}

// A Reason is why some of a run's pages were not kept.
type Reason struct {
	Why   string   // "" for all that came when there were MaxReasons
	Count int      // of the pages
	URLs  []string // the first of them, at most MaxReasonURLs
}

// A run remembers so many reasons apart, and of each so many URLs. All pages are
// counted.
const (
	MaxReasons    = 20
	MaxReasonURLs = 5
)

// SortReasons puts the most frequent first.
func SortReasons(rs []Reason) {
	slices.SortFunc(rs, func(a, b Reason) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Why, b.Why)) })
}

// Settled is how many of the run's jobs are over.
func (p *Progress) Settled() int { return p.Warmed + p.Fresh + p.Unkept + p.Failed + p.Dropped }

// Done reports whether nothing more will happen.
func (p *Progress) Done() bool { return p.Sealed && p.Settled() >= p.Total }

// Shorten returns s, or where it is longer than 2 KiB what of its beginning fits,
// and an ellipsis. A run's texts come from outside and are kept for a day.
func Shorten(s string) string {
	const most = 2 << 10
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}

// QueueStats describes what a queue holds.
type QueueStats struct {
	Queued   int    `json:"queued"`    // jobs that wait, those included that were put back for later
	Taken    int    `json:"taken"`     // jobs that somebody is at
	Capacity int    `json:"capacity"`  // how many may wait before jobs have to go
	Dropped  uint64 `json:"dropped"`   // jobs there was no room for, since the queue began
	Bytes    int64  `json:"bytes"`     // what the jobs take up, roughly
	MaxBytes int64  `json:"max_bytes"` // and may, before jobs have to go
}
