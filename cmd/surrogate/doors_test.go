package main

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// doors are who may import whom of ours. What is not listed is shut. The
// packages that serve never know each other: this one joins them.
var doors = map[string][]string{
	"surrogate/cmd/surrogate":    {"config", "proxy", "purge", "store", "store/memstore", "store/redisstore", "store/tierstore", "warm"},
	"surrogate/config":           {},
	"surrogate/proxy":            {"store", "proxy/http1", "proxy/socket"},
	"surrogate/proxy/http1":      {"proxy/socket"},
	"surrogate/proxy/socket":     {},
	"surrogate/purge":            {"store"},
	"surrogate/warm":             {"store"},
	"surrogate/store":            {},
	"surrogate/store/fences":     {"store"},
	"surrogate/store/memstore":   {"store", "store/fences"},
	"surrogate/store/redisstore": {"store", "store/fences"},
	"surrogate/store/tierstore":  {"store", "store/fences", "store/memstore"},
	"surrogate/store/storetest":  {"store"},

	"surrogate/store/redisstore/redistest": {},
	"surrogate/bench":                      {},
	"surrogate/judge":                      {},
	"surrogate/judge/fleet":                {},
}

// testDoors are those that tests have besides.
var testDoors = map[string][]string{
	"surrogate/proxy":         {"proxy", "purge", "store/memstore", "store/redisstore", "store/redisstore/redistest", "store/storetest", "store/tierstore"},
	"surrogate/proxy/socket":  {"proxy/socket"},
	"surrogate/purge":         {"purge", "store/memstore", "store/storetest"},
	"surrogate/warm":          {"warm", "proxy", "purge", "store/memstore", "store/storetest"},
	"surrogate/store":         {"store"},
	"surrogate/cmd/surrogate": {"store/redisstore/redistest"},
	"surrogate/judge/fleet":   {"store/redisstore/redistest"},

	"surrogate/store/fences":               {"store/fences"},
	"surrogate/store/redisstore":           {"store/redisstore", "store/redisstore/redistest", "store/storetest"},
	"surrogate/store/redisstore/redistest": {"store/redisstore/redistest"},
	"surrogate/store/tierstore":            {"store/tierstore", "store/redisstore", "store/redisstore/redistest", "store/storetest"},
	"surrogate/store/memstore":             {"store/memstore", "store/storetest"},
	"surrogate/config":                     {"config"},
}

// doorways are the files through which outside modules come in. The options of
// packages that count take a set to count into, so these name the type too.
var doorways = map[string][]string{
	"github.com/pquerna/cachecontrol":    {"proxy/directives.go"},
	"github.com/gorilla/mux":             {"purge/http.go", "cmd/surrogate/admin.go"},
	"github.com/pelletier/go-toml":       {"config/document.go", "config/value.go"},
	"github.com/redis/go-redis":          {"store/redisstore/"}, // the package is the doorway
	"github.com/caddyserver/certmagic":   {"cmd/surrogate/acme.go"},
	"go.uber.org/zap":                    {"cmd/surrogate/acme.go"},
	"github.com/dunglas/httpsfv":         {"store/tag.go", "proxy/targeted.go", "proxy/search.go"},
	"golang.org/x/net":                   {"warm/links.go", "proxy/inline_http2_hpack.go", "proxy/inline_response.go"},
	"github.com/schollz/progressbar":     {"cmd/surrogate/progress.go"},
	"github.com/VictoriaMetrics/metrics": {"proxy/metrics.go", "proxy/options.go", "purge/metrics.go", "purge/purger.go", "warm/metrics.go", "warm/warmer.go", "cmd/surrogate/metrics.go"},
}

type listed struct {
	ImportPath, Dir           string
	GoFiles, Imports          []string
	TestImports, XTestImports []string
}

func TestDoors(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "surrogate/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		allowed, known := doors[p.ImportPath]
		if !known {
			t.Errorf("%s is in no table of doors", p.ImportPath)
		}
		check := func(how string, imports, allowed []string) {
			for _, i := range imports {
				if own, ok := strings.CutPrefix(i, "surrogate/"); ok && !slices.Contains(allowed, own) {
					t.Errorf("%s%s may not import %s", p.ImportPath, how, i)
				}
			}
		}
		check("", p.Imports, allowed)
		tests := slices.Concat(allowed, testDoors[p.ImportPath])
		check(" in its tests", p.TestImports, tests)
		check(" in its tests", p.XTestImports, tests)
		for _, file := range p.GoFiles {
			path := filepath.Join(p.Dir, file)
			rel, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			checkDoorways(t, path, filepath.ToSlash(rel))
		}
	}
}

// checkDoorways reports imports of modules in files that are no doorway of
// theirs.
func checkDoorways(t *testing.T, path, rel string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
			continue // the standard library, or ours
		}
		found := false
		for module, files := range doorways {
			if imported == module || strings.HasPrefix(imported, module+"/") {
				found = true
				if !slices.ContainsFunc(files, func(f string) bool { return f == rel || strings.HasSuffix(f, "/") && strings.HasPrefix(rel, f) }) {
					t.Errorf("%s may not import %s: its doorways are %s", rel, imported, strings.Join(files, ", "))
				}
			}
		}
		if !found {
			t.Errorf("%s imports %s, which has no doorway", rel, imported)
		}
	}
}
