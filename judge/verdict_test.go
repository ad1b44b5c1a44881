package judge

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// A result is what the suite found of one test: true, or the kind of error and
// its message.
type result struct {
	ok      bool
	failure string // "Assertion", "Setup", or the error that the client came to
	message string
}

func (r *result) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &r.ok); err == nil {
		return nil
	}
	var pair [2]string
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	r.failure, r.message = pair[0], pair[1]
	return nil
}

func (r result) MarshalJSON() ([]byte, error) {
	if r.ok {
		return []byte("true"), nil
	}
	return json.Marshal([2]string{r.failure, r.message})
}

// A verdict is what a result means once the tests that it depends on are known.
type verdict int

const (
	pass     verdict = iota // a check: the answer is yes
	fail                    // a check: the answer is no
	setup                   // the test did not get as far as its question
	unproven                // a test that it depends on did not pass, so it says nothing
	untested                // there is no result: the peer was tested with an older suite
)

// A judgement is a list of tests with the results of one cache.
type judgement struct {
	tests   []testCase
	results map[string]result
}

// of is the verdict on the test with this id, found as the suite's own pages do.
func (j judgement) of(id string) verdict {
	c, known := j.test(id)
	r, ran := j.results[id]
	if !known || !ran {
		return untested
	}
	for _, d := range c.DependsOn {
		if j.of(d) != pass {
			return unproven
		}
	}
	switch {
	case r.ok:
		return pass
	case r.failure == "Assertion":
		return fail
	}
	return setup
}

// cause is the test because of which one is unproven: the first on its way down
// that was judged.
func (j judgement) cause(id string) string {
	for j.of(id) == unproven {
		c, _ := j.test(id)
		id = c.DependsOn[slices.IndexFunc(c.DependsOn, func(d string) bool { return j.of(d) != pass })]
	}
	return id
}

// failures are the tests that a cache should pass, required ones first, and
// that it neither passes nor is excused from by a failure that is one itself.
func (j judgement) failures() []string {
	var ids []string
	for _, kind := range []string{"required", "optimal"} {
		for _, c := range j.tests {
			if c.kind() == kind && exceptions[c.ID] == "" && j.of(c.ID) != pass && !j.excused(c.ID) {
				ids = append(ids, c.ID)
			}
		}
	}
	return ids
}

// excused is for a test that is unproven because of one that should have passed
// and is reported itself. An answer to a check excuses nothing: all would be
// silent if, say, a cache were to store what says nothing about freshness.
func (j judgement) excused(id string) bool {
	c, ok := j.test(j.cause(id))
	return ok && c.ID != id && c.kind() != "check"
}

func (j judgement) test(id string) (testCase, bool) {
	i := slices.IndexFunc(j.tests, func(c testCase) bool { return c.ID == id })
	if i < 0 {
		return testCase{ID: id}, false
	}
	return j.tests[i], true
}

func (c testCase) kind() string {
	if c.Kind == "" {
		return "required"
	}
	return c.Kind
}

// compare fails the test for what should have passed and did not, and, if these
// are the tests that the exceptions are about, for an exception that none needs.
func (j judgement) compare(t *testing.T, pinned bool) {
	t.Helper()
	silent := map[string][]string{} // what was not judged, by cause
	for _, c := range j.tests {
		v, r := j.of(c.ID), j.results[c.ID]
		why, excepted := exceptions[c.ID]
		said := fmt.Sprintf("%s %s: %s: %s (%s)", c.kind(), c.ID, r.failure, r.message, c.Name)
		switch {
		case c.kind() == "check":
			if v == setup {
				t.Logf("SETUP %s", said)
			}
		case excepted && v == pass && pinned:
			t.Errorf("%s passes: it is no exception any more, take it out of exceptions", c.ID)
		case v == pass:
		case excepted:
			t.Logf("excepted %s %s: %s", c.kind(), c.ID, why)
		case v == unproven && j.excused(c.ID):
			silent[j.cause(c.ID)] = append(silent[j.cause(c.ID)], c.ID)
		case v == unproven:
			t.Errorf("%s %s could not be judged because of the check %s", c.kind(), c.ID, j.cause(c.ID))
		case v == setup:
			t.Errorf("SETUP FAILED, something came between the suite's client and its origin: %s", said)
		default:
			t.Error(said)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(silent)) {
		t.Logf("not judged because of %s: %v", id, silent[id])
	}
	if pinned {
		for _, id := range slices.Sorted(maps.Keys(exceptions)) {
			if !slices.ContainsFunc(j.tests, func(c testCase) bool { return c.ID == id }) {
				t.Errorf("exceptions has %q, which is no test", id)
			}
		}
		j.changed(t)
	}
}

// changed tells, for information, which answers are others than those on record.
func (j judgement) changed(t *testing.T) {
	t.Helper()
	before := judgement{j.tests, load(t, "results/surrogate.json")}
	for _, c := range j.tests {
		if was, is := before.of(c.ID), j.of(c.ID); c.kind() == "check" && was != untested && was != is {
			t.Logf("check %s: was %s, is %s (%s)", c.ID, answer[was], answer[is], c.Name)
		}
	}
}

var answer = map[verdict]string{pass: "yes", fail: "no", setup: "a setup failure", unproven: "not judged", untested: "not tested"}

// load reads a file of results; of one that does not exist yet there are none.
func load(t *testing.T, file string) map[string]result {
	t.Helper()
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	rs := map[string]result{}
	if err := json.Unmarshal(b, &rs); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return rs
}

// table sets surrogate beside the caches whose results the suite publishes.
func table(t *testing.T, tests []testCase, ours map[string]result) string {
	t.Helper()
	all := map[string]int{}
	for _, c := range tests {
		all[c.kind()]++
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "passed\trequired of %d\toptimal of %d\tchecks answered yes, of %d\tnot judged\tsetup failed\tuntested\n",
		all["required"], all["optimal"], all["check"])
	row := func(name string, rs map[string]result) {
		j := judgement{tests, rs}
		passed, by := map[string]int{}, map[verdict]int{}
		for _, c := range tests {
			v := j.of(c.ID)
			by[v]++
			if v == pass {
				passed[c.kind()]++
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", name,
			passed["required"], passed["optimal"], passed["check"], by[unproven], by[setup], by[untested])
	}
	row("surrogate", ours)
	files, err := filepath.Glob("results/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".json"); name != "surrogate" {
			row(name, load(t, f))
		}
	}
	w.Flush()
	return b.String()
}

// The verdicts are those of the suite's own pages.
func TestVerdict(t *testing.T) {
	j := judgement{
		tests: []testCase{
			{ID: "root", Kind: "check"}, {ID: "no", Kind: "check"}, {ID: "good", DependsOn: []string{"root"}},
			{ID: "bad", Kind: "optimal"}, {ID: "on-no", DependsOn: []string{"no"}}, {ID: "on-bad", DependsOn: []string{"good", "bad"}},
			{ID: "setup"}, {ID: "client"}, {ID: "missing"},
		},
		results: map[string]result{},
	}
	given := `{"root":true,"no":["Assertion","m"],"good":true,"bad":["Assertion","m"],"on-no":true,"on-bad":["Assertion","m"],
		"setup":["Setup","retry"],"client":["FetchError","m"]}`
	if err := json.Unmarshal([]byte(given), &j.results); err != nil {
		t.Fatal(err)
	}
	want := map[string]verdict{"root": pass, "no": fail, "good": pass, "bad": fail, "on-no": unproven, "on-bad": unproven,
		"setup": setup, "client": setup, "missing": untested}
	for id, v := range want {
		if got := j.of(id); got != v {
			t.Errorf("%s: got %v, want %v", id, answer[got], answer[v])
		}
	}
	if got, want := j.failures(), []string{"on-no", "setup", "client", "missing", "bad"}; !slices.Equal(got, want) {
		t.Errorf("failures: got %q, want %q", got, want)
	}
	back, err := json.Marshal(j.results["bad"])
	if err != nil || string(back) != `["Assertion","m"]` {
		t.Errorf("a result is written as %s (%v)", back, err)
	}
}
