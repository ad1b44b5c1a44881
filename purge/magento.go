package purge

import (
	"fmt"
	"net/http"
	"strings"
)

// magentoRequest reads a purge as Magento 2 and its relatives send it: a
// regular expression over the list of tags, which always is a list of tags in
// disguise.
func magentoRequest(h http.Header) (Request, error) {
	soft := flag(h, "X-Magento-Purge-Soft") || wantsSoft(h)
	var tags []string
	for _, pattern := range h["X-Magento-Tags-Pattern"] {
		if strings.TrimSpace(pattern) == ".*" {
			return Request{Everything: true, Soft: soft}, nil
		}
		ts, err := tagsOfPattern(strings.TrimSpace(pattern))
		if err != nil {
			return Request{}, malformed("X-Magento-Tags-Pattern: " + err.Error())
		}
		tags = append(tags, ts...)
	}
	return Request{Tags: tags, Soft: soft}, nil
}

// tagsOfPattern returns the tags that a pattern stands for, matched against a
// comma-separated list of tags:
//
//	pattern = one *( "|" one )
//	one     = start ( tag / "(" tag *( "|" tag ) ")" ) end
//	        / "(" pattern ")"
//	start   = "(^|,)"
//	end     = "(,|$)" / "($|,)"
//
// A backslash takes punctuation for itself. Without start and end a tag would
// match within longer ones, so that is no list of tags and refused, as is
// everything else that means something in a regular expression.
func tagsOfPattern(pattern string) ([]string, error) {
	d := decompiler{in: pattern}
	d.next()
	d.alternatives()
	if d.err == nil && d.kind != 0 {
		d.fail("unexpected " + string(d.kind))
	}
	if d.err != nil {
		return nil, d.err
	}
	return d.tags, nil
}

// A decompiler is a recursive-descent parser. Its tokens are literal strings
// and single operators.
type decompiler struct {
	in    string
	pos   int
	kind  byte   // of the current token: an operator, 'a' for a literal, 0 at the end
	text  string // of a literal
	depth int
	tags  []string
	err   error
}

const maxDepth = 100 // parentheses within each other

func (d *decompiler) fail(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("not a list of tags: %s, near byte %d", why, d.pos)
	}
	d.kind = 0
}

// next reads one token.
func (d *decompiler) next() {
	var b strings.Builder
	for d.err == nil && d.pos < len(d.in) {
		c := d.in[d.pos]
		switch {
		case strings.IndexByte("()|^$,", c) >= 0:
			if b.Len() > 0 {
				d.kind, d.text = 'a', b.String()
				return
			}
			d.pos++
			d.kind = c
			return
		case strings.IndexByte(".*+?[]{}", c) >= 0:
			d.fail("unescaped " + string(c))
			return
		case c == '\\':
			if d.pos+1 == len(d.in) || isWord(d.in[d.pos+1]) {
				d.fail(`\ before what is no punctuation`)
				return
			}
			if d.in[d.pos+1] == ',' { // no tag has one
				if b.Len() > 0 {
					d.kind, d.text = 'a', b.String()
					return
				}
				d.pos += 2
				d.kind = ','
				return
			}
			b.WriteByte(d.in[d.pos+1])
			d.pos += 2
		default:
			b.WriteByte(c)
			d.pos++
		}
	}
	if d.err != nil {
		return
	}
	if b.Len() > 0 {
		d.kind, d.text = 'a', b.String()
		return
	}
	d.kind = 0
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c >= 0x80
}

// take reads exactly these tokens.
func (d *decompiler) take(kinds string) {
	for i := range len(kinds) {
		if d.kind != kinds[i] {
			d.fail("expected " + kinds)
			return
		}
		d.next()
	}
}

func (d *decompiler) alternatives() {
	d.one()
	for d.err == nil && d.kind == '|' {
		d.next()
		d.one()
	}
}

func (d *decompiler) one() {
	if d.depth++; d.depth > maxDepth {
		d.fail("too deep")
		return
	}
	defer func() { d.depth-- }()
	d.take("(")
	if d.err != nil {
		return
	}
	if d.kind != '^' { // a group around whole alternatives
		d.alternatives()
		d.take(")")
		return
	}
	d.take("^|,)")
	if d.kind == '(' {
		d.next()
		d.literal()
		for d.err == nil && d.kind == '|' {
			d.next()
			d.literal()
		}
		d.take(")")
	} else {
		d.literal()
	}
	d.take("(")
	if d.kind == '$' {
		d.take("$|,)")
	} else {
		d.take(",|$)")
	}
}

// literal reads one tag.
func (d *decompiler) literal() {
	if d.err != nil {
		return
	}
	if d.kind != 'a' {
		d.fail("expected a tag")
		return
	}
	d.tags = append(d.tags, d.text)
	d.next()
}
