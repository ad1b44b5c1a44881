package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"

	"surrogate/purge"
)

// each checks every one of the latest answers.
func (r *run) each(check func(v *visit) error) error {
	if len(r.latest) == 0 {
		return errors.New("there is no answer to speak of")
	}
	for i, v := range r.latest {
		if _, panicked := v.broke(); panicked != nil {
			return fmt.Errorf("the proxy panicked: %v", panicked)
		}
		if err := check(v); err != nil {
			if len(r.latest) > 1 {
				return fmt.Errorf("of %d clients, number %d: %w", len(r.latest), i+1, err)
			}
			return err
		}
	}
	return nil
}

func (r *run) doStatus(st *step) error {
	return r.each(func(v *visit) error {
		if got := strconv.Itoa(v.code()); got != st.args[0] {
			return fmt.Errorf("status is %s, body %q", got, shorten(v.content()))
		}
		return nil
	})
}

func (r *run) doBody(st *step) error {
	return r.each(func(v *visit) error {
		if got := v.content(); got != st.rest {
			return fmt.Errorf("body is %q", shorten(got))
		}
		return nil
	})
}

func (r *run) doContains(st *step) error {
	return r.each(func(v *visit) error {
		if got := v.content(); !strings.Contains(got, st.rest) {
			return fmt.Errorf("body is %q", shorten(got))
		}
		return nil
	})
}

func (r *run) doLength(st *step) error {
	return r.each(func(v *visit) error {
		if got := strconv.Itoa(len(v.content())); got != st.args[0] {
			return fmt.Errorf("length is %s", got)
		}
		return nil
	})
}

func (r *run) doHeader(st *step) error {
	return r.each(func(v *visit) error {
		got := v.values(st.args[0])
		sub := ""
		if len(st.args) > 1 {
			sub = st.args[1]
		}
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, sub) }) {
			return fmt.Errorf("%s is %q", st.args[0], got)
		}
		return nil
	})
}

func (r *run) doNoHeader(st *step) error {
	return r.each(func(v *visit) error {
		got := v.values(st.args[0])
		sub := ""
		if len(st.args) > 1 {
			sub = st.args[1]
		}
		if slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, sub) }) {
			return fmt.Errorf("%s is %q", st.args[0], shorten(strings.Join(got, "; ")))
		}
		return nil
	})
}

func (r *run) doExact(st *step) error {
	return r.each(func(v *visit) error {
		if got := strings.Join(v.values(st.args[0]), ", "); got != st.args[1] {
			return fmt.Errorf("%s is %q", st.args[0], got)
		}
		return nil
	})
}

// ourStatus is the last member of Cache-Status, which is ours.
func ourStatus(v *visit) string {
	vs := v.values("Cache-Status")
	if len(vs) == 0 {
		return ""
	}
	last := vs[len(vs)-1]
	if i := strings.LastIndex(last, ", surrogate"); i >= 0 {
		last = last[i+2:]
	}
	return last
}

func (r *run) doCache(st *step) error {
	return r.each(func(v *visit) error {
		if got := ourStatus(v); !strings.Contains(got, st.rest) {
			return fmt.Errorf("cache is %q", got)
		}
		return nil
	})
}

func (r *run) doNoCache(st *step) error {
	return r.each(func(v *visit) error {
		if got := ourStatus(v); strings.Contains(got, st.rest) {
			return fmt.Errorf("cache is %q", got)
		}
		return nil
	})
}

func (r *run) doHint(st *step) error {
	return r.each(func(v *visit) error {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, h := range v.hints {
			if strings.Contains(strings.Join(h.Values(st.args[0]), ", "), st.args[1]) {
				return nil
			}
		}
		return fmt.Errorf("hints are %v", v.hints)
	})
}

func (r *run) doTrailer(st *step) error {
	return r.each(func(v *visit) error {
		v.mu.Lock()
		defer v.mu.Unlock()
		if got := v.trailer.Get(st.args[0]); got != st.args[1] {
			return fmt.Errorf("trailer is %v", v.trailer)
		}
		return nil
	})
}

func (r *run) doAborted(*step) error {
	r.broken = true
	return r.each(func(v *visit) error {
		if aborted, _ := v.broke(); !aborted {
			return fmt.Errorf("the answer was complete: %d, %q", v.code(), shorten(v.content()))
		}
		return nil
	})
}

func (r *run) doGot(st *step) error {
	v, err := r.named(st.args[0])
	if err != nil {
		return err
	}
	want := ""
	if len(st.args) > 1 {
		want = st.args[1]
	}
	if got := v.content(); got != want {
		return fmt.Errorf("%s has got %q", st.args[0], shorten(got))
	}
	return nil
}

func (r *run) doWaiting(st *step) error {
	v, err := r.named(st.args[0])
	if err != nil {
		return err
	}
	if v.over() || v.code() != 0 {
		return fmt.Errorf("%s was answered %d, %q", st.args[0], v.code(), shorten(v.content()))
	}
	return nil
}

func (r *run) doAnswers(st *step) error {
	n := 0
	for _, v := range r.latest {
		if v.content() == st.args[1] {
			n++
		}
	}
	if strconv.Itoa(n) != st.args[0] {
		return fmt.Errorf("it is the body of %d, out of %d", n, len(r.latest))
	}
	return nil
}

func (r *run) doPurge(st *step) error {
	if err := r.unchecked(); err != nil {
		return err
	}
	r.about()
	word, what, _ := strings.Cut(st.verb, "-")
	req := purge.Request{Soft: word == "soft"}
	full := make([]string, len(st.args))
	for i, u := range st.args {
		full[i] = u
		if strings.HasPrefix(u, "/") {
			full[i] = shopHost + u
		}
	}
	switch what {
	case "":
		req.Tags = st.args
	case "url":
		req.URLs = full
	case "key":
		req.Keys = full
	case "prefix":
		req.Prefixes = full
	case "host":
		req.Hosts = st.args
	case "everything":
		req.Everything = true
	}
	receipt, err := r.purger.Purge(context.Background(), req)
	return r.purged(receipt, err)
}

func (r *run) doChange(st *step) error {
	if err := r.unchecked(); err != nil {
		return err
	}
	r.about()
	receipt, err := r.purger.Change(context.Background(), purge.Change{Entity: st.args[0], ID: st.args[1], Tags: st.args[2:]})
	return r.purged(receipt, err)
}

func (r *run) purged(receipt purge.Receipt, err error) error {
	r.receiptID, r.purgeErr = receipt.ID, err
	return nil
}

func (r *run) doFails(*step) error {
	if r.purgeErr == nil {
		return errors.New("it did not")
	}
	r.purgeErr = nil
	return nil
}

func (r *run) doReceipt(st *step) error {
	if r.receiptID == "" {
		return errors.New("there is no receipt")
	}
	synctest.Wait()
	receipt, ok := r.purger.Receipt(r.receiptID)
	if !ok {
		return fmt.Errorf("the receipt of %s is not kept", r.receiptID)
	}
	text, err := json.Marshal(receipt)
	if err != nil {
		return err
	}
	fields := make(map[string]any)
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	switch got := fields[st.args[0]].(type) {
	case []any:
		if slices.Contains(got, any(st.args[1])) {
			return nil
		}
	default:
		if fmt.Sprint(got) == st.args[1] {
			return nil
		}
	}
	return fmt.Errorf("%s is %v", st.args[0], fields[st.args[0]])
}

func (r *run) doAdmin(st *step) error {
	if err := r.unchecked(); err != nil {
		return err
	}
	method, rest, _ := strings.Cut(st.rest, " ")
	path, content, _ := strings.Cut(rest, " ")
	header := http.Header{"Content-Type": {"application/json"}}
	v := send(r.t, r.admin, method, "http", "127.0.0.1:8081", path, header, content, operator)
	<-v.done
	synctest.Wait()
	r.about(v)
	var receipt purge.Receipt
	if json.Unmarshal([]byte(v.content()), &receipt) == nil && receipt.ID != "" {
		r.receiptID = receipt.ID
	}
	return nil
}

func (r *run) doStats(st *step) error {
	s := r.proxy.Stats()[0]
	kept, err := r.store.Stats(context.Background())
	if err != nil {
		return err
	}
	known := map[string]uint64{
		"collapsed": s.Collapsed, "fetches": s.Fetches, "fetch_errors": s.FetchErrors, "revalidated": s.Revalidated,
		"stored": s.Stored, "sent_bytes": s.SentBytes,
		"entries": uint64(kept.Entries), "fences": uint64(kept.Fences), "refused": kept.Refused, "purges": uint64(kept.Seq),
	}
	for result, n := range s.Requests {
		known["requests."+result] = n
	}
	got, ok := known[st.args[0]]
	if !ok {
		return errors.New("nothing is counted by this name")
	}
	if strconv.FormatUint(got, 10) != st.args[1] {
		return fmt.Errorf("%s is %d", st.args[0], got)
	}
	return nil
}
