package config

import (
	"fmt"
	"reflect"
	"strings"
)

// A KeyInfo describes one key that holds a value.
type KeyInfo struct {
	Name    string // as --set takes it: "cache.memory"; keys of a site are "site.name"
	Env     string // its environment variable, "" for keys of a site
	Default string // its default, lists separated by commas
}

// Keys lists every key that holds a value, in the order of the structs.
func Keys() []KeyInfo {
	var all []KeyInfo
	for _, k := range settable(&Config{}) {
		all = append(all, KeyInfo{k.path, variable(k.path), k.tag.Get("default")})
	}
	for _, k := range leaves("site", reflect.ValueOf(&Site{}).Elem()) {
		all = append(all, KeyInfo{Name: k.path, Default: k.tag.Get("default")})
	}
	return all
}

// Default is the configuration that an empty file has. It lacks only a site.
func Default() *Config {
	c := &Config{}
	for _, k := range settable(c) {
		setText(k, k.tag.Get("default"), func(_ int, err error) {
			panic(fmt.Sprintf("config: default of %s: %v", k.path, err)) // a mistake in a tag: any test meets it first
		})
	}
	return c
}

// A key is a place in a Config: a table, a list or a value.
type key struct {
	path  string // "cache.memory", "site[1].hosts"
	value reflect.Value
	tag   reflect.StructTag
}

// name is the last part of the path.
func (k key) name() string { return k.path[strings.LastIndexByte(k.path, '.')+1:] }

// fields are the keys in the table v at path; those of an embedded struct count
// as the table's own.
func fields(path string, v reflect.Value) []key {
	var ks []key
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			ks = append(ks, fields(path, v.Field(i))...)
			continue
		}
		ks = append(ks, key{join(path, f.Tag.Get("toml")), v.Field(i), f.Tag})
	}
	return ks
}

// leaves are the keys with values in the table v at path and the tables in it.
func leaves(path string, v reflect.Value) []key {
	var ks []key
	for _, k := range fields(path, v) {
		switch {
		case isTable(k.value.Type()):
			ks = append(ks, leaves(k.path, k.value)...)
		case !isTables(k.value.Type()) && !isLists(k.value.Type()):
			ks = append(ks, k)
		}
	}
	return ks
}

// settable are the keys of c that the environment and --set reach: all but those
// of the sites.
func settable(c *Config) []key { return leaves("", reflect.ValueOf(c).Elem()) }

// isTable is for the structs that are tables, and not for those that are values.
func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[Config]().PkgPath()
}

// isLists is for tables whose keys are names of the user's own, each with a list.
// Only the file can set them.
func isLists(t reflect.Type) bool { return t.Kind() == reflect.Map }

// isTables is for lists of tables: the sites.
func isTables(t reflect.Type) bool { return t.Kind() == reflect.Slice && isTable(t.Elem()) }

func join(path, name string) string {
	if name == "" {
		name = `""` // TOML has such keys, we have not
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// variable is the name of the environment variable for the key at path.
func variable(path string) string {
	return "SURROGATE_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// nearest is the candidate that word is most likely a slip for, or "".
func nearest(word string, candidates []string) string {
	word = strings.ToLower(strings.ReplaceAll(word, "-", "_"))
	best, least := "", 0
	if len(word) > 64 {
		return "" // nothing is near, and finding out takes the product of the lengths
	}
	for _, c := range candidates {
		lower := strings.ToLower(c)
		d := distance(word, lower)
		if d > max(len(word), len(c))/3 {
			if min(len(word), len(c)) < 3 || !strings.Contains(lower, word) && !strings.Contains(word, lower) {
				continue
			}
			d += len(word) + len(c) // a part of the name, such as ttl: only if nothing is closer
		}
		if best == "" || d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove, replace or swap with
// their neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
		for j := 1; j <= len(b); j++ {
			if i == 0 {
				rows[i][j] = j
				continue
			}
			swap := 1
			if a[i-1] == b[j-1] {
				swap = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+swap)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// didYouMean is the hint for a word that none of the candidates is, with the
// quotes that the candidates are written in.
func didYouMean(word string, candidates []string, quote string) string {
	if c := nearest(word, candidates); c != "" {
		return ", did you mean " + quote + c + quote + "?"
	}
	return ""
}

// namesOf lists the last parts of the keys' paths.
func namesOf(ks []key) []string {
	names := make([]string, len(ks))
	for i, k := range ks {
		names[i] = k.name()
	}
	return names
}
