package purge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"surrogate/purge"
	"surrogate/store"
)

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// metric is a metric's value as it is exposed.
func metric(set *metrics.Set, name string) string {
	var b strings.Builder
	set.WritePrometheus(&b)
	for line := range strings.Lines(b.String()) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return "none"
}

var rules = []purge.ChangeRule{
	{Entity: "product*", Tags: []string{"product:{id}", "category:{data.category}", "maker:{data.maker.id}", "shade:{data.colours}"}},
	{Type: "*.deleted", Tags: []string{"list:{entity}"}},
	{Entity: "stock", Tags: []string{"stock:{id}"}, Soft: true},
}

func TestChangesComeToTags(t *testing.T) {
	for _, c := range []struct {
		name   string
		change purge.Change
		rules  []purge.ChangeRule
		asked  string
		soft   bool
		notes  int
	}{
		{name: "by default to entity and id", change: purge.Change{Entity: "product", ID: "123", Tags: []string{"sale"}}, asked: "sale product:123"},
		{name: "to what it names itself", change: purge.Change{Tags: []string{"a", "b"}}, asked: "a b"},
		{name: "to what the rules say", rules: rules,
			change: purge.Change{Type: "x.updated", Entity: "product", ID: "1", Data: data(`{"category":7,"maker":{"id":"acme"},"colours":["red","blue"]}`)},
			asked:  "product:1 category:7 maker:acme shade:red shade:blue"},
		{name: "all rules that match, and what is missing is said", rules: rules,
			change: purge.Change{Type: "x.deleted", Entity: "products", ID: "1"}, asked: "product:1 list:products", notes: 3},
		{name: "softly", rules: rules, change: purge.Change{Entity: "stock", ID: "9"}, asked: "stock:9", soft: true},
		{name: "hard, if one rule is", rules: rules, change: purge.Change{Type: "x.deleted", Entity: "stock", ID: "9"}, asked: "list:stock stock:9"},
		{name: "to nothing, and it is said", rules: rules, change: purge.Change{Entity: "user", ID: "9"}, asked: "", notes: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := purge.New(purge.Options{Store: newStore(t), Changes: c.rules})
			r, err := p.Change(t.Context(), c.change)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(r.Asked, " "); got != c.asked || (r.Mode == "soft") != c.soft || len(r.Notes) != c.notes {
				t.Errorf("asked %q, %s, notes %q", got, r.Mode, r.Notes)
			}
			if (r.Seq == 0) != (c.asked == "") || r.Via != purge.ByEvent {
				t.Errorf("receipt = %+v", r)
			}
		})
	}
}

func data(s string) (m map[string]any) {
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		panic(err)
	}
	return m
}

func TestChangeRulesAreChecked(t *testing.T) {
	for _, r := range rules {
		if err := r.Check(); err != nil {
			t.Error(err)
		}
	}
	for _, r := range []purge.ChangeRule{
		{Type: "["}, {Entity: "a[]"}, {Tags: []string{"{x}"}}, {Tags: []string{"a{id"}}, {Tags: []string{"{data.}"}}, {Tags: []string{"{id}{}"}},
	} {
		if r.Check() == nil {
			t.Errorf("%+v passed", r)
		}
	}
}

const cloud = `{"specversion":"1.0","id":"e1","source":"/shop","type":"com.shop.product.updated","subject":"product/42","ext":"x","data":{"tags":["sale"]}}`

func TestEventsArriveInAllTheirForms(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		fields                  []string
		asked                   string
	}{
		{"plain", "application/json", `{"type":"updated","entity":"product","id":"42","tags":["sale"]}`, nil, "sale product:42"},
		{"plain with a number", "", `{"entity":"product","id":42}`, nil, "product:42"},
		{"structured", "application/cloudevents+json; charset=utf-8", cloud, nil, "sale product:42"},
		{"structured without saying so", "application/json", cloud, nil, "sale product:42"},
		{"base64", "application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"eyJlbnRpdHkiOiJhIiwiaWQiOjF9"}`, nil, "a:1"},
		{"binary", "application/json", `{"entity":"product","id":"42","tags":["sale"]}`,
			[]string{"ce-specversion", "1.0", "ce-id", "e1", "ce-source", "/shop", "ce-type", "updated"}, "sale product:42"},
		{"binary with an encoded subject", "", ``,
			[]string{"ce-specversion", "1.0", "ce-id", "e1", "ce-source", "/shop", "ce-type", "updated", "ce-subject", "product/%C3%A9"}, "product:é"},
		{"entity from the type", "application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"s","type":"com.shop.product.updated","subject":"42"}`, nil, "product:42"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAdmin(t, purge.New(purge.Options{Store: newStore(t)}))
			var r purge.Receipt
			w := a.do("POST", "/v1/events", c.body, &r, append(c.fields, "Content-Type", c.contentType)...)
			if got := strings.Join(r.Asked, " "); w.Code != 200 || got != c.asked {
				t.Errorf("%d %s, want %q", w.Code, w.Body, c.asked)
			}
		})
	}
}

func TestAnEventSeenBeforePurgesNothing(t *testing.T) {
	s := newStore(t)
	set := metrics.NewSet()
	a := newAdmin(t, purge.New(purge.Options{Store: s, Metrics: set}))
	ct := []string{"Content-Type", "application/cloudevents+json"}
	var first, again purge.Receipt
	a.do("POST", "/v1/events", cloud, &first, ct...)
	put(t, s, "http://shop/", "product:42", "")
	a.do("POST", "/v1/events", strings.Replace(cloud, "sale", "other", 1), &again, ct...)
	if first.Seq != 1 || again.Seq != 1 || !served(t, s, "http://shop/") {
		t.Errorf("%+v %+v", first, again)
	}
	a.do("POST", "/v1/events", strings.Replace(cloud, `"/shop"`, `"/shop2"`, 1), &again, ct...)
	if again.Seq != 2 || served(t, s, "http://shop/") {
		t.Errorf("from another source: %+v", again)
	}
	if metric(set, "surrogate_purge_events_total") != "3" || metric(set, `surrogate_purges_total{mode="hard",by="event"}`) != "2" {
		t.Error("miscounted")
	}
}

func TestABatchOfEventsIsUnderstoodWholeOrNotAtAll(t *testing.T) {
	s := newStore(t)
	p := purge.New(purge.Options{Store: s})
	a := newAdmin(t, p)
	event := func(i int, subject string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"s","type":"t","subject":%q}`, i, subject)
	}
	ct := []string{"Content-Type", "application/cloudevents-batch+json"}
	put(t, s, "http://shop/", "product:1", "")
	w := a.do("POST", "/v1/events", "["+event(1, "product/1")+","+strings.Replace(event(2, "product/2"), `"id":"2",`, "", 1)+"]", nil, ct...)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `"#/1/id"`) || !served(t, s, "http://shop/") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = a.do("POST", "/v1/events", "["+event(1, "product/1")+","+event(2, "product/a b")+"]", nil, ct...)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `"#/1"`) || !served(t, s, "http://shop/") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var rs []purge.Receipt
	a.do("POST", "/v1/events", "["+event(1, "product/1")+","+event(1, "product/1")+","+event(2, "product/2")+"]", &rs, ct...)
	if len(rs) != 3 || rs[0].Seq != 1 || rs[1].Seq != 1 || rs[2].Seq != 2 || served(t, s, "http://shop/") {
		t.Errorf("%+v", rs)
	}
	if w := a.do("POST", "/v1/events", "[]", &rs, ct...); w.Code != 200 || len(rs) != 0 {
		t.Errorf("an empty batch: %d %s", w.Code, w.Body)
	}
}

func TestWhatIsNoEventIsRefusedAndPointedAt(t *testing.T) {
	a := newAdmin(t, purge.New(purge.Options{Store: newStore(t)}))
	for _, c := range []struct{ body, where string }{
		{``, ""}, {`[]`, ""}, {`{}`, ""},
		{`{"entity":"a"}`, ""},
		{`{"id":"a"}`, ""},
		{`{"entity":"a","id":"1","x":1}`, "#/x"},
		{`{"entity":1,"id":"1"}`, "#/entity"},
		{`{"entity":"a","id":true}`, "#/id"},
		{`{"entity":"a","id":"1","tags":["b","c d"]}`, "#/tags/1"},
		{`{"entity":"a","id":"1","data":[]}`, "#/data"},
		{`{"entity":"a","id":"1 2"}`, ""},
		{`{"specversion":"0.3","id":"1","source":"s","type":"t"}`, "#/specversion"},
		{`{"specversion":"1.0","id":"1","source":"","type":"t"}`, "#/source"},
		{`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"?"}`, "#/data_base64"},
		{`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"tags":[{}]}}`, "#/tags/0"},
	} {
		var doc struct{ Errors []purge.Problem }
		w := a.do("POST", "/v1/events", c.body, &doc)
		if w.Code != 400 || !slices.ContainsFunc(doc.Errors, func(p purge.Problem) bool { return p.Pointer == c.where }) {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
	}
}

// TestTellsOfPurgesAndChanges: each purge that is in force, and each change once
// its own is; neither a failure, nor a dry run, nor traffic's.
func TestTellsOfPurgesAndChanges(t *testing.T) {
	var told []string
	p := purge.New(purge.Options{
		Store: newStore(t),
		Purged: func(names []store.Name, r *purge.Receipt) {
			told = append(told, fmt.Sprintf("purged %v as %t", names, r.ID != ""))
		},
		Changed: func(_ context.Context, c *purge.Change, r *purge.Receipt) []string {
			told = append(told, fmt.Sprintf("changed %s:%s", c.Entity, c.ID))
			return []string{"a remark"}
		},
	})
	ask := func(r purge.Request) {
		t.Helper()
		if _, err := p.Purge(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	ask(purge.Request{Tags: []string{"a", "b"}, ID: "x"})
	ask(purge.Request{Tags: []string{"a", "b"}, ID: "x"})
	ask(purge.Request{Tags: []string{"a"}, DryRun: true})
	if err := p.Invalidate(t.Context(), []store.Name{"c"}, false, "POST"); err != nil {
		t.Fatal(err)
	}
	r, err := p.Change(t.Context(), purge.Change{Entity: "product", ID: "1", Tags: []string{"sale"}})
	if err != nil || !slices.Contains(r.Notes, "a remark") {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := p.Purge(t.Context(), purge.Request{Tags: []string{"bad tag"}}); err == nil {
		t.Error("a bad tag was purged")
	}
	want := []string{"purged [a b] as true", "purged [sale] as true", "changed product:1"}
	if !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}
