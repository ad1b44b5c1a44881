package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Seq is a position in the store's sequence of purges. The first purge is 1.
type Seq uint64

// Errors that callers branch on.
var (
	// ErrPurged refuses a Put whose ticket is older than a hard fence on one of the
	// entry's names: the response was fetched before a purge that covers it.
	ErrPurged = errors.New("purged since the fetch began")
	// ErrNewer refuses a Put of an entry that is older than what it would take the
	// place of: what is stored is newer, and nothing was changed.
	ErrNewer = errors.New("what is stored is newer")
	// ErrTooLarge refuses a Put of an entry that the store could never hold.
	ErrTooLarge = errors.New("too large for the store")
	// ErrEdges refuses a Put whose deps the dependency index has no room for.
	// The entry is not stored, because a purge could not reach it.
	ErrEdges = errors.New("dependency index is full")
	// ErrTooManyPrefixes refuses a Purge that names more prefixes than the store
	// can have fences on. Nothing was purged.
	ErrTooManyPrefixes = errors.New("too many prefixes in one purge")
	// ErrUnsure says of a Purge that nobody can tell whether it is in force: the
	// store was asked to, and its answer was lost. Purging again is safe.
	ErrUnsure = errors.New("it may have been purged")
	// ErrBadTag is a tag that is empty, longer than MaxTag or has white space
	// or control characters.
	ErrBadTag = errors.New("not a tag")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("store is closed")
)

// A Store keeps entries and knows when they have fallen. All methods may be
// called at once from any goroutine. Times come from time.Now.
type Store interface {
	// Get looks up the entry stored under key whose Pick matches ask, or else the
	// newest whose Alt does. It never
	// returns an entry that a hard fence covers, nor one past the end of its
	// life. The ticket is valid on hit and on miss; after an error there is none
	// and nothing fetched because of this Get may be stored. A miss is not an
	// error.
	Get(ctx context.Context, key Key, ask Fields) (Found, error)

	// Put stores e in place of the entry with the same key and pick. An entry
	// whose Vary differs from what the key was known by takes the place of all
	// of the key's entries. The store may keep e's strings and slices: nobody
	// may write to them afterwards. It returns ErrPurged, ErrNewer, ErrTooLarge or
	// ErrEdges when e was refused; a refused entry leaves what was stored
	// before untouched. Its ErrPurged is a *PurgedError.
	//
	// What only soft fences overtook is stored with its old ticket, so that Get
	// finds it as stale as they made it. It is newer than what is there, and if it
	// were refused a page that is soft-purged more often than a fetch takes would
	// never be refreshed. It is refused where that is not all there is to it: the
	// fall has to be passed on (PurgedError.Cascade), or something upstream fell
	// and e's own names do not tell.
	//
	// ErrNewer is returned where something that e would take the place of, and
	// that can still be shown, is newer (Entry.Newer): what answers last need not
	// have been asked last. Of equals the one that comes later is stored.
	Put(ctx context.Context, e *Entry) error

	// Check returns a *PurgedError if a fence newer than e's Ticket covers e, hard
	// or soft, nil where none does. Names and Ticket are all it looks at. It never waits for a network: whoever
	// would share a response that was asked for before him is held back by it, by
	// a soft fence too, for to him it would be stale.
	Check(e *Entry) error

	// Purge raises a fence on each of p.Names, and on CatchAllName, at one new sequence number. When
	// it returns, no Get that begins afterwards shows what fell, or shows it as
	// stale after a soft purge, whether its Put came before or comes later. Its cost depends on len(p.Names) only. It either
	// raises all fences or, returning an error such as ErrTooManyPrefixes, none;
	// after ErrUnsure it did one or the other.
	Purge(ctx context.Context, p Purge) (Event, error)

	// Dependents returns the URL names of the entries that carry one of names,
	// as a tag, dep, URL, host or prefix, and whose URL some other entry
	// declared as a dep: one level of the cascade. Names already in names are
	// left out. What carries CatchAllName counts whatever the names, for it falls
	// with every purge. It costs the edges among names that are depended upon.
	//
	// Put records an entry's edges before it compares its ticket, and compares it
	// with the fences on everything upstream as well. So whoever asks again after
	// his fences stand, and purges what is new, misses nothing: of a Put and a
	// purge at the same time one sees the other's edge, or the other's fence.
	Dependents(ctx context.Context, names []Name) ([]Name, error)

	// Sweep reclaims what the purge at seq killed and yields each key once,
	// however many of its names or picks fell. Keys stored anew since are
	// spared and not yielded. After a soft purge nothing is reclaimed; the keys
	// that became stale are yielded. Stopping early is harmless.
	//
	// It works in small steps, and whoever ranges over it decides how much of a
	// core it takes, by resting between what is yielded.
	Sweep(ctx context.Context, ev Event) iter.Seq2[Swept, error]

	// Events yields the purges after seq, oldest first, and then waits for
	// more until ctx ends. It yields ErrGap first and stops if the log no longer reaches
	// back to seq.
	Events(ctx context.Context, after Seq) iter.Seq2[Event, error]

	// Count returns how many entries carry name, and their Entry.Bytes, at constant
	// cost; purged entries count until they are swept. A prefix is never carried.
	Count(ctx context.Context, name Name) (Count, error)

	// List returns up to limit entries that carry name (AllName: every entry),
	// from the cursor of the previous page ("" first). The next cursor is ""
	// after the last page. Entries that a fence covers are left out. Bodies are
	// left out. Of a prefix it lists what the prefix covers. An entry that is
	// there all the while is listed once, whatever comes and goes.
	List(ctx context.Context, name Name, cursor string, limit int) ([]Entry, string, error)

	// Stats returns what the store holds now.
	Stats(ctx context.Context) (Stats, error)

	// Run does the store's periodic work, such as letting entries die at the
	// end of their lives, until ctx ends.
	Run(ctx context.Context) error

	// Close ends all Events and frees what the store holds. Use after Close
	// returns ErrClosed.
	Close() error
}

// ErrGap says that the purge log no longer reaches back to where a reader was.
var ErrGap = errors.New("purges are missing from the log")

// A PurgedError is an ErrPurged, of Put or of Check, and says whether the fall has to be passed on.
type PurgedError struct {
	Name Name // the newest fallen among the entry's names
	Seq  Seq  // when
	Soft bool // only soft fences are newer than the ticket
	// Cascade is true when entries that were made from this one's URL stand
	// although this one falls: it was not yet known to carry Name at the time of
	// the purge, so the cascade could not reach them. The caller purges
	// URLName(e.Key).
	Cascade bool
}

func (e *PurgedError) Error() string {
	return fmt.Sprintf("%v: %s fell at %d", ErrPurged, e.Name, e.Seq)
}

// Unwrap returns ErrPurged.
func (e *PurgedError) Unwrap() error { return ErrPurged }

// A Found is what Get found.
type Found struct {
	Entry  Entry     // the entry; its zero value when Hit is false
	Hit    bool      // whether there is an entry
	Vary   string    // the Vary that the key is known by, on a miss too
	Ticket Seq       // the ticket for a fetch that begins now
	Fell   time.Time // the earliest soft purge that covers the entry; zero when none does
	// Bodyless is set when Entry.Body was left out, as WantsBody allows;
	// Entry.Size is its length.
	Bodyless bool
	Doubt    bool // the entry is older than the fences still known: revalidate before use
}

// A Purge asks for fences.
type Purge struct {
	Names []Name   // what falls, dependents included
	Asked []string // what the client asked for, in its own words; kept in the log
	Soft  bool     // make stale instead of killing
	ID    string   // the purger's name for it; empty is allowed
	By    string   // who asked, for the log
	Why   string   // why, for the log
	// Rewarm is how many of the keys that fall are to be fetched again, the hottest
	// first; 0 as many as each site has configured, NoRewarm none.
	Rewarm int
}

// NoRewarm is a Purge.Rewarm that has nothing fetched again.
const NoRewarm = -1

// An Event is a purge that happened.
type Event struct {
	Purge
	Seq Seq
	At  time.Time
}

// A Swept is one key that a purge took with it. Its key may share the memory of an
// entry, body and all: clone it to keep it.
type Swept struct {
	Key     Key
	Entries int   // how many entries (picks) fell under the key
	Bytes   int64 // what they held
}

// A Count is how much carries a name.
type Count struct {
	Entries int
	Bytes   int64
}

// Stats describes what a store holds.
type Stats struct {
	Entries  int   // entries held, purged ones included until they are swept
	Bytes    int64 // what they cost against Capacity
	Capacity int64 // the most that Bytes may become
	Names    int   // distinct names with members
	Fences   int   // fences standing
	Edges    int   // dependency edges
	// What fences, edges and the log take of this process's memory, besides
	// Bytes: near enough to be planned with. 0 where they are kept elsewhere.
	FenceBytes, EdgeBytes, LogBytes int64
	Seq                             Seq // the last purge
	Floor                           Seq // entries with an older ticket are revalidated before use
	Evictions                       uint64
	Expired                         uint64
	Swept                           uint64
	Refused                         uint64 // Puts refused because of a fence: races that were won
}
