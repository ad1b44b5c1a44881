package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write proxy.toml and the golden files anew")

const manualHead = `# surrogate: every key, at its default.
#
# Lines that begin with "#" and a space explain; remove the "#" of any other to
# set it. Unknown keys and bad values are refused, all of them at once. Check
# with: surrogate check proxy.toml
#
# As it is it has no site, and so nothing to serve: remove the "#" of [[site]] and
# origins at the end, or give --origin http://127.0.0.1:3000 to serve or check.
#
# Any key but those of a [[site]] may be set by a variable of the environment,
# SURROGATE_LISTEN or SURROGATE_CACHE_MEMORY, which wins over this file, and by a
# flag, --set cache.memory=1GiB, which wins over both.
#
# Durations: "250ms", "90s", "1h30m", "7d", "1w" or 0. Sizes: "64MiB", "1GB",
# "512k" or a number of bytes. Patterns: a name, or its beginning and "*". A list
# of one may be written as the value alone.
`

const manualSite = `
# Every key of [defaults] may follow, for this site alone. For instance:
#[site.fresh]
#swr = "0s"
`

// TestManual keeps proxy.toml what the structs say: run it with -update after
// changing one.
func TestManual(t *testing.T) {
	m := manual{docs: fieldDocs(t)}
	m.WriteString(manualHead)
	m.table("", reflect.TypeFor[Config]())
	m.WriteString("\n")
	m.prose(m.docs["Site"])
	m.WriteString("#[[site]]\n")
	m.table("site", reflect.TypeFor[Site]())
	m.WriteString(manualSite)
	golden(t, "../proxy.toml", m.String())
}

// TestManualIsTheDefaults takes the comment off every line of proxy.toml.
func TestManualIsTheDefaults(t *testing.T) {
	file, err := os.ReadFile("../proxy.toml")
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^#([^ \n])`)
	all := commented.ReplaceAll(file, []byte("$1"))
	name := filepath.Join(t.TempDir(), "all.toml")
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(Source{Flags: Flags{Config: name}})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Sites = []Site{{
		Name: "default", Hosts: []string{}, Policy: want.Defaults,
		Origins: []*url.URL{{Scheme: "http", Host: "127.0.0.1:3000"}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	// And as it is, and with one line at a time, with an origin from elsewhere.
	want.Sites[0].Hosts = nil
	lines := strings.SplitAfter(string(file), "\n")
	site := slices.Index(lines, "#[[site]]\n")
	for i := -1; i < site; i++ {
		one := slices.Clone(lines)
		if i >= 0 {
			one[i] = commented.ReplaceAllString(one[i], "$1")
		}
		if err := os.WriteFile(name, []byte(strings.Join(one, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(Source{Flags: Flags{Config: name, Origin: []string{"http://127.0.0.1:3000"}}})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("line %d: got  %+v\nwant %+v", i+1, got, want)
		}
	}
}

// A manual is proxy.toml in the making.
type manual struct {
	strings.Builder
	docs map[string]string // by type, "Log", or by type and field, "Log.Level"
}

// table writes the values of a table, then the tables in it.
func (m *manual) table(path string, t reflect.Type) {
	for f := range fieldsOf(t) {
		if f.Anonymous || isTable(f.Type) || isTables(f.Type) || isLists(f.Type) {
			continue
		}
		m.WriteString("\n")
		m.prose(m.docs[t.Name()+"."+f.Name])
		fmt.Fprintf(m, "#%s = %s\n", f.Tag.Get("toml"), written(f))
	}
	for f := range fieldsOf(t) {
		if f.Anonymous || !isTable(f.Type) && !isLists(f.Type) {
			continue
		}
		path := join(path, f.Tag.Get("toml"))
		m.WriteString("\n")
		if doc := m.docs[t.Name()+"."+f.Name]; doc != "" {
			m.prose(doc)
		} else {
			m.prose(m.docs[f.Type.Name()])
		}
		fmt.Fprintf(m, "[%s]\n", path)
		if isTable(f.Type) {
			m.table(path, f.Type)
		}
	}
}

func (m *manual) prose(doc string) {
	for line := range strings.Lines(doc) {
		m.WriteString(strings.ReplaceAll("# "+line, "# \n", "#\n"))
	}
}

func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// written is a field's default as it stands in TOML.
func written(f reflect.StructField) string {
	text := f.Tag.Get("default")
	switch {
	case f.Name == "Origins":
		return `["http://127.0.0.1:3000"]` // there is no default, and no site without
	case f.Name == "Listen" && text != "":
		return fmt.Sprintf("%q", text) // most people have one
	case f.Type.Kind() == reflect.Slice:
		var items []string
		for item := range strings.SplitSeq(text, ",") {
			if item != "" {
				items = append(items, fmt.Sprintf("%q", item))
			}
		}
		return "[" + strings.Join(items, ", ") + "]"
	case numeric(f.Type), f.Type.Kind() == reflect.Bool:
		return text
	}
	return fmt.Sprintf("%q", text)
}

// fieldDocs are the comments of this package's structs and their fields.
func fieldDocs(t *testing.T) map[string]string {
	docs := map[string]string{}
	for _, name := range []string{"config.go", "policy.go", "warm.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			spec := g.Specs[0].(*ast.TypeSpec)
			docs[spec.Name.Name] = g.Doc.Text()
			for _, field := range spec.Type.(*ast.StructType).Fields.List {
				for _, n := range field.Names {
					docs[spec.Name.Name+"."+n.Name] = field.Doc.Text()
				}
			}
		}
	}
	return docs
}

// TestEveryKeyIsDescribed: a comment, a default.
func TestEveryKeyIsDescribed(t *testing.T) {
	docs := fieldDocs(t)
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Config](), reflect.TypeFor[Log](), reflect.TypeFor[Cache](), reflect.TypeFor[Limits](), reflect.TypeFor[TLS](),
		reflect.TypeFor[Purge](), reflect.TypeFor[Proxies](), reflect.TypeFor[Redis](), reflect.TypeFor[Fleet](), reflect.TypeFor[Site](), reflect.TypeFor[Policy](),
		reflect.TypeFor[Key](), reflect.TypeFor[Cookies](), reflect.TypeFor[Vary](), reflect.TypeFor[Headers](),
		reflect.TypeFor[Fresh](), reflect.TypeFor[Fill](), reflect.TypeFor[Warm](), reflect.TypeFor[SiteWarm](), reflect.TypeFor[Crawl](),
	} {
		for f := range fieldsOf(typ) {
			if f.Anonymous || isTable(f.Type) || isTables(f.Type) {
				continue
			}
			if _, ok := f.Tag.Lookup("default"); !ok {
				t.Errorf("%s.%s has no default", typ, f.Name)
			}
			if is := f.Tag.Get("is"); is != "" && checks[is] == nil {
				t.Errorf("%s.%s names no check: %s", typ, f.Name, is)
			}
			if docs[typ.Name()+"."+f.Name] == "" {
				t.Errorf("%s.%s has no comment", typ, f.Name)
			}
		}
	}
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not up to date, run: go test ./config -update\ngot:\n%s", name, got)
	}
}
