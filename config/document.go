package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A place is where a key was set: a position in the file, or the name of an
// environment variable or a flag.
type place struct {
	name      string
	line, col int // from 1; 0 where there is none
}

func (p place) String() string {
	if p.line > 0 {
		return fmt.Sprintf("%s:%d:%d", p.name, p.line, p.col)
	}
	return p.name
}

// readDocument returns the tables and values of a TOML document, and the places
// of all its keys and elements by their paths: "cache.memory", "site[1].hosts[0]".
func readDocument(name string, data []byte) (map[string]any, map[string]place, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	doc := map[string]any{}
	if err := toml.Unmarshal(data, &doc); err != nil {
		at := place{name: name}
		if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
			at.line, at.col = bad.Position()
		}
		return nil, nil, &problem{at: at, err: errors.New(strings.TrimPrefix(err.Error(), "toml: "))}
	}
	s := surveyor{name: name, places: map[string]place{}, elements: map[string]int{}}
	s.parser.Reset(data)
	if err := s.survey(); err != nil {
		return nil, nil, &problem{at: place{name: name}, err: err}
	}
	return doc, s.places, nil
}

// A surveyor notes where the keys of a document stand. The document is known to
// be valid.
type surveyor struct {
	name     string
	parser   unstable.Parser
	places   map[string]place
	elements map[string]int // by path of a list of tables: how many there were so far
}

func (s *surveyor) survey() error {
	table := ""
	for s.parser.NextExpression() {
		switch e := s.parser.Expression(); e.Kind {
		case unstable.KeyValue:
			s.keyValue(table, e)
		case unstable.Table, unstable.ArrayTable:
			table = s.header(e)
		}
	}
	return s.parser.Error()
}

// header notes [a.b] or [[a.b]] and returns its path, in which every list of
// tables has the index of its last element.
func (s *surveyor) header(e *unstable.Node) (path string) {
	for it := e.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		s.note(path, it.Node())
		if it.IsLast() && e.Kind == unstable.ArrayTable {
			s.elements[path]++
		}
		if n := s.elements[path]; n > 0 {
			path = element(path, n-1)
			s.note(path, it.Node())
		}
	}
	return path
}

func (s *surveyor) keyValue(table string, e *unstable.Node) {
	path := table
	for it := e.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		s.note(path, it.Node())
	}
	s.value(path, e.Value())
}

func (s *surveyor) value(path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			s.keyValue(path, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			s.note(element(path, i), it.Node())
			s.value(element(path, i), it.Node())
		}
	}
}

// note keeps the place of what stands at path first. Lists have none of their
// own: their key's counts.
func (s *surveyor) note(path string, n *unstable.Node) {
	if _, known := s.places[path]; known || n.Raw.Length == 0 {
		return
	}
	at := s.parser.Shape(n.Raw).Start
	s.places[path] = place{s.name, at.Line, at.Column}
}

func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
