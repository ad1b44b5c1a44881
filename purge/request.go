package purge

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"surrogate/store"
)

// A Request is a purge as a client asks for it. All its names fall at one
// sequence number, or none does.
type Request struct {
	Tags       []string      // tags and deps, verbatim
	Keys       []string      // canonical keys, with or without scheme; both schemes fall
	URLs       []string      // absolute or "host/path?query", normalised by their site's rules; both schemes fall
	Prefixes   []string      // "host/path…", with or without scheme: every URL that begins so
	Hosts      []string      // "host" or "host:port"
	Everything bool          // all there is
	Soft       bool          // make stale instead of killing
	DryRun     bool          // tell what would fall, change nothing
	Rewarm     int           // as store.Purge has it; in JSON 0 is none, and its absence as configured
	Wait       time.Duration // longest to wait for other nodes, where the store has any; 0 for the default
	ID         string        // idempotency key: the same again returns the first receipt; empty for none
	Why        string        // for the log
	By         string        // who asks, for the log; not part of the JSON form
}

const (
	maxBody    = 16 << 20 // bytes of a request to the admin API
	maxID      = 256      // bytes of an id
	maxWhy     = 1024     // bytes of a reason
	maxWait    = time.Minute
	maxRewarm  = 1_000_000
	hintTags   = "a list of tags: 1 to 1024 bytes of UTF-8 without commas, white space or control characters"
	hintKeys   = `a list of keys as receipts and lists show them: "https://host/path?query" or "host/path?query"`
	hintURLs   = `a list of URLs with their host: "https://host/path?query" or "host/path?query"`
	hintPrefix = `a list of beginnings of URLs with their host: "host/path" or "https://host/path", without "*"`
	hintHosts  = `a list of hosts: "host" or "host:port"`
	hintMode   = `"hard" or "soft"`
	hintWait   = `a duration of at most 1m: "2s", "400ms"`
)

var requestMembers = []string{"tags", "keys", "urls", "prefixes", "hosts", "everything",
	"mode", "dry_run", "rewarm", "wait", "id", "why"}

// ParseRequest reads the JSON form of a Request, strictly, and checks
// everything about it that needs no configuration. The error is a
// *RequestError that lists all there is wrong; the names themselves are checked
// when it is purged.
func ParseRequest(body []byte) (Request, error) {
	var ps problems
	r := parseRequest(body, &ps)
	return r, ps.err()
}

func parseRequest(body []byte, ps *problems) Request {
	m := members(body, requestMembers, ps)
	r := Request{
		Tags:       readStrings(m, "tags", hintTags, ps),
		Keys:       readStrings(m, "keys", hintKeys, ps),
		URLs:       readStrings(m, "urls", hintURLs, ps),
		Prefixes:   readStrings(m, "prefixes", hintPrefix, ps),
		Hosts:      readStrings(m, "hosts", hintHosts, ps),
		Everything: readBool(m, "everything", ps),
		DryRun:     readBool(m, "dry_run", ps),
	}
	for i, u := range r.URLs {
		if strings.HasSuffix(u, "*") {
			ps.add(at("urls", i), fmt.Sprintf("%.100q ends in *, and a URL is no pattern: all URLs that begin so are purged by prefixes", u),
				`a URL; one that does end in * in keys; "prefixes":["host/path"]`)
		}
	}
	switch mode, ok := readString(m, "mode", hintMode, ps); {
	case !ok || mode == "hard":
	case mode == "soft":
		r.Soft = true
	default:
		ps.add("#/mode", fmt.Sprintf("%.100q is no mode", mode), hintMode)
	}
	if s, ok := readString(m, "wait", hintWait, ps); ok {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d > maxWait {
			ps.add("#/wait", fmt.Sprintf("%.100q is no duration that can be waited for", s), hintWait)
		}
		r.Wait = d
	}
	if raw, ok := m["rewarm"]; ok {
		if json.Unmarshal(raw, &r.Rewarm) != nil || kind(raw) != "a number" || r.Rewarm < 0 || r.Rewarm > maxRewarm {
			ps.add("#/rewarm", "not a number of keys", fmt.Sprintf("a whole number from 0 to %d", maxRewarm))
		}
		if r.Rewarm == 0 {
			r.Rewarm = store.NoRewarm
		}
	}
	if id, ok := readString(m, "id", "a string", ps); ok {
		r.ID = id
		if id == "" {
			ps.add("#/id", "it is empty", "a string of 1 to 256 bytes, or no id")
		}
	}
	r.Why, _ = readString(m, "why", "a string", ps)
	return r
}
