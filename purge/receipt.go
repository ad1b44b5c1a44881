package purge

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"surrogate/store"
)

// A State is how far a purge has come.
type State string

// The states. A purge is in force from Fenced on.
const (
	DryRun   State = "dry_run"  // nothing happened: it was only asked what would
	Fenced   State = "fenced"   // what was named no longer is served
	Swept    State = "swept"    // it was reclaimed and counted, too
	Rewarmed State = "rewarmed" // and what of it was to be fetched again has been
)

// A Source is which door a purge came through.
type Source string

// The sources.
const (
	ByAPI     Source = "api"     // the admin API, or a call in Go
	ByPublic  Source = "public"  // a purge method on the public listener
	ByEvent   Source = "event"   // a data change
	ByTraffic Source = "traffic" // a request or response that passed through the proxy
	ByNode    Source = "node"    // another node, whose own receipt says more
)

// A Receipt is what a purge came to.
type Receipt struct {
	ID           string               `json:"id"`
	Seq          store.Seq            `json:"seq"` // the sequence number at which all of it was in force
	State        State                `json:"state"`
	Mode         string               `json:"mode"`                   // "hard" or "soft"
	Asked        []string             `json:"asked"`                  // what was asked for, in the client's words
	AskedMore    int                  `json:"asked_more,omitzero"`    // how many more, beyond those listed
	Expanded     []string             `json:"expanded"`               // names that fell with it
	ExpandedMore int                  `json:"expanded_more,omitzero"` // how many more, beyond those listed
	Entries      int                  `json:"entries"`                // that fell; the most it can be, unless exact
	Exact        bool                 `json:"exact"`                  // whether entries and bytes are; once swept they are
	Bytes        int64                `json:"bytes"`
	Nodes        map[string]store.Seq `json:"nodes"`    // how far each node has heard
	Complete     bool                 `json:"complete"` // in force on every node
	TookMS       float64              `json:"took_ms"`
	At           time.Time            `json:"at"`
	Via          Source               `json:"via"`
	By           string               `json:"by,omitempty"`
	Why          string               `json:"why,omitempty"`
	Rewarm       int                  `json:"rewarm,omitzero"`
	WarmRun      string               `json:"warm_run,omitempty"`   // the run that fetches again what was hot
	Notes        []string             `json:"notes,omitempty"`      // what the client should know and is no error
	WouldFall    []Fall               `json:"would_fall,omitempty"` // of a dry run: each name, what carries it
	Sample       []store.Key          `json:"sample,omitempty"`     // of a dry run: some of the keys
}

// A Fall is what a name would take with it.
type Fall struct {
	Name    string `json:"name"`
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`
}

func modeOf(soft bool) string {
	if soft {
		return "soft"
	}
	return "hard"
}

// Receipts are kept by the thousand, so the lists in one are bounded.
const (
	maxListed      = 1000     // names listed in a receipt
	maxListedBytes = 32 << 10 // bytes of those names
)

// listed returns as much of list as a receipt shows, and how many were left out.
func listed(list []string) ([]string, int) {
	size := 0
	for i, s := range list {
		if size += len(s); i == maxListed || i > 0 && size > maxListedBytes {
			return slices.Clip(list[:i]), len(list) - i
		}
	}
	return list, 0
}

func newRecord(print [32]byte) *record { return &record{print: print, done: make(chan struct{})} }

func newID() string { return strings.ToLower(rand.Text()) }

// A record is a receipt that changes until it is swept.
type record struct {
	receipt Receipt
	left    int           // sweeps outstanding
	entries int           // counted by the sweeps so far
	bytes   int64         // likewise
	print   [32]byte      // of what was asked, to tell a repetition from another purge
	done    chan struct{} // closed when the purge succeeded or failed
	err     error         // why it failed; read after done
}

// A journal keeps the latest receipts. Purges that traffic causes have a room of
// their own, so that however many there are they push out no operator's.
type journal struct {
	mu       sync.Mutex // guards the fields below and every record's; never held across a call to the store
	keep     int
	rooms    [2][]*record // ordered by seq; 1 is traffic's
	byID     map[string]*record
	awaiting map[string]*record // purges under way whose id the client chose
}

func newJournal(keep int) *journal {
	return &journal{keep: keep, byID: make(map[string]*record), awaiting: make(map[string]*record)}
}

// begin claims a client's id. It returns the record to fill, or, when the id
// was used, the receipt of its first use. It waits for a first use under way;
// should that fail, the turn passes on.
func (j *journal) begin(ctx context.Context, id string, print [32]byte, anyContent bool) (*record, *Receipt, error) {
	for {
		j.mu.Lock()
		first, earlier := j.byID[id], Receipt{}
		if first != nil {
			earlier = first.receipt
		} else {
			first = j.awaiting[id] // whose receipt is being written
		}
		if first == nil {
			rec := newRecord(print)
			j.awaiting[id] = rec
			j.mu.Unlock()
			return rec, nil, nil
		}
		j.mu.Unlock()
		if !anyContent && first.print != print {
			return nil, nil, conflict(&earlier)
		}
		select {
		case <-first.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		j.mu.Lock()
		r, err := first.receipt, first.err
		j.mu.Unlock()
		if err == nil {
			return nil, &r, nil
		}
	}
}

// conflict is an ErrConflict that names the purge that had the id.
func conflict(r *Receipt) error {
	if r.Seq == 0 {
		return fmt.Errorf("%w, and is under way", ErrConflict)
	}
	asked := strings.Join(capped(r.Asked), ", ")
	if more := len(r.Asked) + r.AskedMore - len(capped(r.Asked)); more > 0 {
		asked += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("%w: number %d, %s, of %s, at %s", ErrConflict, r.Seq, r.Mode, asked, r.At.Format(time.RFC3339))
}

// end gives up or completes what begin claimed.
func (j *journal) end(id string, rec *record, err error) {
	j.mu.Lock()
	delete(j.awaiting, id)
	rec.err = err
	j.mu.Unlock()
	close(rec.done)
}

// add files a receipt, and forgets the oldest of its room beyond keep.
func (j *journal) add(rec *record, findable bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.keep <= 0 {
		return
	}
	room := &j.rooms[0]
	if rec.receipt.Via == ByTraffic {
		room = &j.rooms[1]
	}
	// Purges finish in nearly, not exactly, the order of their numbers.
	i := len(*room)
	for i > 0 && (*room)[i-1].receipt.Seq > rec.receipt.Seq {
		i--
	}
	*room = slices.Insert(*room, i, rec)
	n := len(*room) - j.keep
	if findable && i >= n {
		j.byID[rec.receipt.ID] = rec
	}
	// Let the room grow to twice its size before moving it: constant cost each.
	if n > 0 {
		if old := (*room)[n-1]; j.byID[old.receipt.ID] == old {
			delete(j.byID, old.receipt.ID)
		}
		if n >= j.keep {
			kept := slices.Clone((*room)[n:])
			*room = kept
		}
	}
}

// kept is the part of a room that counts.
func (j *journal) kept(room []*record) []*record {
	return room[max(0, len(room)-j.keep):]
}

// find returns the receipt with an id or, failing that, with a sequence number.
func (j *journal) find(id string, seq store.Seq) (Receipt, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if rec := j.byID[id]; rec != nil && id != "" {
		return rec.receipt, true
	}
	for _, room := range j.rooms {
		room = j.kept(room)
		i := sort.Search(len(room), func(i int) bool { return room[i].receipt.Seq >= seq })
		if seq != 0 && i < len(room) && room[i].receipt.Seq == seq {
			return room[i].receipt, true
		}
	}
	return Receipt{}, false
}

// read returns a record's receipt as it is now.
func (j *journal) read(rec *record) Receipt {
	j.mu.Lock()
	defer j.mu.Unlock()
	return rec.receipt
}

// page returns up to limit receipts below before (0: from the newest), newest
// first, of one source or of all ("").
func (j *journal) page(before store.Seq, limit int, via Source) []Receipt {
	j.mu.Lock()
	defer j.mu.Unlock()
	if before == 0 {
		before = ^store.Seq(0)
	}
	var at [2]int
	var rooms [2][]*record
	for i := range j.rooms {
		rooms[i] = j.kept(j.rooms[i])
		at[i] = sort.Search(len(rooms[i]), func(k int) bool { return rooms[i][k].receipt.Seq >= before })
	}
	var out []Receipt
	for len(out) < limit && (at[0] > 0 || at[1] > 0) {
		i := 0
		if at[0] == 0 || at[1] > 0 && rooms[1][at[1]-1].receipt.Seq > rooms[0][at[0]-1].receipt.Seq {
			i = 1
		}
		at[i]--
		if r := rooms[i][at[i]].receipt; via == "" || r.Via == via {
			out = append(out, r)
		}
	}
	return out
}

// swept adds what one sweep counted to its receipt, and reports whether it was
// the purge's last. What was exact before stays: a sweep does not count what was
// fetched anew before it came by, for a visitor or by warming.
func (j *journal) swept(rec *record, entries int, bytes int64) (over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rec.entries += entries
	rec.bytes += bytes
	if rec.left--; rec.left == 0 {
		if !rec.receipt.Exact {
			rec.receipt.Entries, rec.receipt.Bytes = rec.entries, rec.bytes
		}
		rec.receipt.State, rec.receipt.Exact = Swept, true
	}
	return rec.left == 0
}

// sweptWith ends one sweep that another was made for. What that one found is not
// what this purge took, so the count stays what it was.
func (j *journal) sweptWith(rec *record) (over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if rec.left--; rec.left == 0 {
		rec.receipt.State = Swept
	}
	if !rec.receipt.Exact {
		rec.receipt.Notes = append(slices.Clip(rec.receipt.Notes), "swept together with a later purge of the same: entries stays an estimate")
	}
	return rec.left == 0
}

// note adds a remark to a receipt.
func (j *journal) note(rec *record, s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rec.receipt.Notes = append(slices.Clip(rec.receipt.Notes), s)
}
