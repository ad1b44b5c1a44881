package redisstore

import (
	"strconv"

	"surrogate/store"
)

// An incarnation is one unbroken sequence of purges. Entries are kept under its
// id, so that those of another are never found again and end by their TTL.
//
// Whoever reads or writes entries takes the incarnation first and judges by
// the Book afterwards: the Book of a later one refuses every ticket of this.
type incarnation struct {
	id   string
	base store.Seq // its first purge has the next number

	data string // what the keys of its data plane begin with
}

func (s *Store) incarnation(id string, base store.Seq) *incarnation {
	return &incarnation{id: id, base: base, data: s.opt.Prefix + ":" + id + ":"}
}

// key is a key of the data plane. All keys with one tag live in one slot; the
// tag must neither be empty nor begin with a closing brace.
func (i *incarnation) key(kind, tag string) string { return i.data + kind + ":{" + tag + "}" }

// The keys of the control plane live in one slot.
func (s *Store) control(name string) string { return "{" + s.opt.Prefix + "}:" + name }

func (s *Store) stateKey() string  { return s.control("state") }  // hash: run, inc, base, seq, since, floor, aged, moved
func (s *Store) logKey() string    { return s.control("log") }    // stream of the purges, ids N-0
func (s *Store) fencesKey() string { return s.control("fences") } // zset: name by the number at which it last fell
func (s *Store) softKey() string   { return s.control("soft") }   // hash: name to its soft falls
func (s *Store) clockKey() string  { return s.control("clock") }  // zset: a purge in every minute by its time
func (s *Store) bigKey() string    { return s.control("big") }    // zset: purges whose names are not all in fences yet
func (s *Store) nodesKey() string  { return s.control("nodes") }  // hash: node to how far it heard and until when

// namesKey is where a purge too large for the log keeps its names.
func (s *Store) namesKey(token string) string { return s.control("names:" + token) }

// channel is what nodes tell each other of: acks and claims.
func (s *Store) channel(name string) string { return s.opt.Prefix + ":" + name }

func seqOf(s string) store.Seq {
	n, _ := strconv.ParseUint(s, 10, 64)
	return store.Seq(n)
}

func (s *Store) seqArg(n store.Seq) string { return strconv.FormatUint(uint64(n), 10) }
