package purge

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseRequest(t *testing.T) {
	r, err := ParseRequest([]byte(`{"tags":["a","b/c"],"keys":["http://h/"],"urls":["h/x"],"prefixes":["h/p"],"hosts":["h"],
		"everything":true,"mode":"soft","dry_run":true,"rewarm":5,"wait":"400ms","id":"i","why":"w"}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Tags[1] != "b/c" || len(r.Keys) != 1 || len(r.URLs) != 1 || len(r.Prefixes) != 1 || len(r.Hosts) != 1 || !r.Everything ||
		!r.Soft || !r.DryRun || r.Rewarm != 5 || r.Wait != 400*time.Millisecond || r.ID != "i" || r.Why != "w" {
		t.Errorf("%+v", r)
	}
}

// What is refused, and where the answer points.
var malformedRequests = []struct{ body, where string }{
	{``, ""},
	{`null`, ""},
	{`[]`, ""},
	{`"tags"`, ""},
	{`{"tags":["a"]`, ""},
	{`{"tags":["a"]}}`, ""},
	{`{"tags":["a"]} {}`, ""},
	{`{"tags":["a",]}`, ""},
	{"{\"tags\":[\"\xff\"]}", ""},
	{`{}`, ""},
	{`{"tags":[]}`, ""},
	{`{"everything":false}`, ""},
	{`{"tags":["a"],"tag":"b"}`, "#/tag"},
	{`{"tags":["a"],"Tags":["b"]}`, "#/Tags"},
	{`{"tags":["a"],"tags":["b"]}`, "#/tags"},
	{`{"tags":"a"}`, "#/tags"},
	{`{"tags":null}`, "#/tags"},
	{`{"tags":["a",1]}`, "#/tags/1"},
	{`{"tags":["a",null]}`, "#/tags/1"},
	{`{"tags":["a",["b"]]}`, "#/tags/1"},
	{`{"tags":["a",""]}`, "#/tags/1"},
	{`{"tags":["a","b c"]}`, "#/tags/1"},
	{`{"tags":["a","b\n"]}`, "#/tags/1"},
	{`{"tags":["` + strings.Repeat("x", 1025) + `"]}`, "#/tags/0"},
	{`{"urls":["/no/host"]}`, "#/urls/0"},
	{`{"urls":["h/ok","ftp://h/"]}`, "#/urls/1"},
	{`{"urls":["http:///x"]}`, "#/urls/0"},
	{`{"urls":["h/a b"]}`, "#/urls/0"},
	{`{"urls":["u@h/"]}`, "#/urls/0"},
	{`{"keys":["h/a#b"]}`, "#/keys/0"},
	{`{"keys":["H/a"]}`, "#/keys/0"},
	{`{"keys":["http://h:80/a"]}`, "#/keys/0"},
	{`{"keys":["h/%7e"]}`, "#/keys/0"},
	{`{"prefixes":["/a"]}`, "#/prefixes/0"},
	{`{"prefixes":["h/a/*"]}`, "#/prefixes/0"},
	{`{"hosts":["h/a"]}`, "#/hosts/0"},
	{`{"hosts":["*.h"]}`, "#/hosts/0"},
	{`{"hosts":[""]}`, "#/hosts/0"},
	{`{"hosts":["http://h"]}`, "#/hosts/0"},
	{`{"everything":"yes"}`, "#/everything"},
	{`{"everything":1}`, "#/everything"},
	{`{"everything":true,"dry_run":null}`, "#/dry_run"},
	{`{"tags":["a"],"mode":"gentle"}`, "#/mode"},
	{`{"tags":["a"],"mode":""}`, "#/mode"},
	{`{"tags":["a"],"mode":true}`, "#/mode"},
	{`{"tags":["a"],"wait":2}`, "#/wait"},
	{`{"tags":["a"],"wait":"2"}`, "#/wait"},
	{`{"tags":["a"],"wait":"-1s"}`, "#/wait"},
	{`{"tags":["a"],"wait":"2h"}`, "#/wait"},
	{`{"tags":["a"],"rewarm":-1}`, "#/rewarm"},
	{`{"tags":["a"],"rewarm":1.5}`, "#/rewarm"},
	{`{"tags":["a"],"rewarm":"5"}`, "#/rewarm"},
	{`{"tags":["a"],"rewarm":null}`, "#/rewarm"},
	{`{"tags":["a"],"id":""}`, "#/id"},
	{`{"tags":["a"],"id":7}`, "#/id"},
	{`{"tags":["a"],"id":"a b"}`, "#/id"},
	{`{"tags":["a"],"id":"` + strings.Repeat("x", 257) + `"}`, "#/id"},
	{`{"tags":["a"],"why":"` + strings.Repeat("x", 1025) + `"}`, "#/why"},
}

func TestWhatIsMalformedIsRefusedAndPointedAt(t *testing.T) {
	for _, c := range malformedRequests {
		var ps problems
		r := parseRequest([]byte(c.body), &ps)
		if len(ps.list) == 0 {
			New(Options{}).names(&r, &ps)
		}
		if len(ps.list) != 1 || ps.list[0].Pointer != c.where || ps.list[0].Detail == "" || ps.list[0].Accepted == "" {
			t.Errorf("%.100s: %+v, want one problem at %q that says what is accepted", c.body, ps.list, c.where)
		}
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	var ps problems
	r := parseRequest([]byte(`{"tags":["a b","ok","c\td"],"urls":["/x"],"mode":"gentle","wait":"x","hmm":1}`), &ps)
	New(Options{}).names(&r, &ps)
	var got []string
	for _, p := range ps.list {
		got = append(got, p.Pointer)
	}
	if s := strings.Join(got, " "); s != "#/hmm #/mode #/wait #/tags/0 #/tags/2 #/urls/0" {
		t.Errorf("problems at %s", s)
	}
	if !strings.Contains(ps.err().Error(), "#/tags/2: ") {
		t.Error(ps.err())
	}
}

func TestAMillionMistakesAreNotAllListed(t *testing.T) {
	_, err := ParseRequest([]byte(`{"tags":[` + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + `]}`))
	re, ok := errors.AsType[*RequestError](err)
	if !ok || len(re.Problems) != maxProblems+1 || re.Problems[maxProblems].Detail != "and 900 more" {
		t.Errorf("%v", err)
	}
}

// FuzzRequest: whatever the body, either it is refused, or it names something,
// and every name can fall.
func FuzzRequest(f *testing.F) {
	for _, c := range malformedRequests {
		f.Add([]byte(c.body))
	}
	f.Add([]byte(`{"tags":["a"],"urls":["https://h/%2F?b=1&a"],"prefixes":["h"],"mode":"soft","wait":"1s","rewarm":1e2}`))
	p := New(Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		var ps problems
		r := parseRequest(body, &ps)
		names, asked := p.names(&r, &ps)
		if ps.err() != nil {
			return
		}
		if len(names) == 0 || len(asked) == 0 {
			t.Fatalf("accepted, but names nothing: %q", body)
		}
		for _, n := range names {
			if n == "" || strings.ContainsAny(string(n), "\n\r") {
				t.Fatalf("name %q from %q", n, body)
			}
		}
	})
}
