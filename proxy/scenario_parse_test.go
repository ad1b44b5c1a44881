package proxy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// A script is one scenario file: steps, and the files that they name.
type script struct {
	name  string // as in messages: testdata/scenarios/late_joiner.txt
	about string // its first comment
	steps []step
	files map[string]string
}

// A step is one line of a script.
type step struct {
	line int
	text string // the whole line
	verb string
	args []string // what follows, split at blanks and unquoted
	rest string   // what follows, as it stands
}

// parse reads a scenario. An error names file and line.
func parse(name string, content []byte) (*script, error) {
	ar := txtar.Parse(content)
	s := &script{name: name, files: make(map[string]string)}
	for _, f := range ar.Files {
		if _, twice := s.files[f.Name]; twice {
			return nil, fmt.Errorf("%s: there are two files %q", name, f.Name)
		}
		s.files[f.Name] = string(f.Data)
	}
	n := 0
	for line := range strings.Lines(string(ar.Comment)) {
		n++
		text := strings.TrimSpace(line)
		if text == "" {
			continue
		}
		if about, ok := strings.CutPrefix(text, "#"); ok {
			if len(s.steps) == 0 {
				s.about = strings.TrimSpace(s.about + " " + strings.TrimSpace(about))
			}
			continue
		}
		verb, rest, _ := strings.Cut(text, " ")
		st := step{line: n, text: text, verb: verb, rest: strings.TrimSpace(rest)}
		if !verbs[verb].raw {
			args, err := split(st.rest)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %s\n    %w", name, n, text, err)
			}
			st.args = args
		}
		if err := s.check(&st); err != nil {
			return nil, fmt.Errorf("%s:%d: %s\n    %w", name, n, text, err)
		}
		s.steps = append(s.steps, st)
	}
	switch {
	case s.about == "":
		return nil, fmt.Errorf("%s:1: the first line is to say in one sentence what the scenario shows", name)
	case len(s.steps) == 0:
		return nil, fmt.Errorf("%s: nothing happens", name)
	}
	return s, nil
}

// check finds what is wrong with a step before anything runs.
func (s *script) check(st *step) error {
	v, ok := verbs[st.verb]
	if !ok {
		return fmt.Errorf("there is no verb %q", st.verb)
	}
	n := len(st.args)
	if v.raw {
		n = min(len(st.rest), 1)
	}
	if n < v.min || v.max >= 0 && n > v.max {
		return fmt.Errorf("write: %s %s", st.verb, v.args)
	}
	if st.verb == "origin" {
		if _, ok := s.files[st.args[0]]; !ok {
			return fmt.Errorf("there is no file %q", st.args[0])
		}
	}
	return nil
}

// split splits a line at blanks. 'Single quotes' hold blanks together, and two
// of them inside such a pair stand for one.
func split(line string) ([]string, error) {
	var args []string
	var arg strings.Builder
	in, quoted := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'' && quoted && i+1 < len(line) && line[i+1] == '\'':
			arg.WriteByte(c)
			i++
		case c == '\'':
			in, quoted = true, !quoted
		case (c == ' ' || c == '\t') && !quoted:
			if in {
				args = append(args, arg.String())
				arg.Reset()
			}
			in = false
		default:
			in = true
			arg.WriteByte(c)
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if in {
		args = append(args, arg.String())
	}
	return args, nil
}

func readScript(path string) (*script, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(filepath.ToSlash(path), content)
}

func TestParseNamesFileAndLine(t *testing.T) {
	const head = "# About.\n\n"
	for _, c := range []struct{ content, want string }{
		{head + "frobnicate /a\n", "f.txt:3: frobnicate /a\n    there is no verb \"frobnicate\""},
		{head + "get\n", "f.txt:3: get\n    write: get PATH [F:VALUE]… [=CONTENT] [&[NAME]]"},
		{head + "get /a 'X: 1\n", "f.txt:3: get /a 'X: 1\n    a quote is not closed"},
		{head + "\norigin a\n", "f.txt:4: origin a\n    there is no file \"a\""},
		{"get /a\n", "f.txt:1: the first line is to say in one sentence what the scenario shows"},
		{head, "f.txt: nothing happens"},
		{head + "idle\n-- a --\n-- a --\n", "f.txt: there are two files \"a\""},
	} {
		_, err := parse("f.txt", []byte(c.content))
		if err == nil || err.Error() != c.want {
			t.Errorf("parse(%q):\n got %v\nwant %s", c.content, err, c.want)
		}
	}
}

// FuzzScenario holds that whatever parses says again the same when it is
// written down anew, and that nothing panics.
func FuzzScenario(f *testing.F) {
	paths, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no scenarios: %v", err)
	}
	for _, p := range paths {
		content, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte("# '\nget ''a''' '' 'it''s' &x\nbody  'as is' \n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parse("f.txt", content)
		if err != nil {
			return
		}
		var b strings.Builder
		b.WriteString("# " + s.about + "\n")
		for _, st := range s.steps {
			b.WriteString(st.verb)
			if verbs[st.verb].raw {
				b.WriteString(" " + st.rest)
			}
			for _, a := range st.args {
				b.WriteString(" '" + strings.ReplaceAll(a, "'", "''") + "'")
			}
			b.WriteString("\n")
		}
		ar := txtar.Archive{Comment: []byte(b.String())}
		for name, data := range s.files {
			ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(data)})
		}
		again, err := parse("f.txt", txtar.Format(&ar))
		if err != nil {
			t.Fatalf("%q does not parse again: %v", b.String(), err)
		}
		if len(again.steps) != len(s.steps) {
			t.Fatalf("%d steps became %d", len(s.steps), len(again.steps))
		}
		for i := range s.steps {
			a, b := s.steps[i], again.steps[i]
			if a.verb != b.verb || fmt.Sprint(a.args) != fmt.Sprint(b.args) || verbs[a.verb].raw && a.rest != b.rest {
				t.Fatalf("%q became %q", a.text, b.text)
			}
		}
	})
}
