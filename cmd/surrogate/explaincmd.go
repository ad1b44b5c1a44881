package main

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// explain is the subcommand: it prints what /v1/explain answers.
func explain(p *program, args []string) error {
	fs := p.flags("explain")
	var c adminClient
	c.bind(fs, p)
	asJSON := fs.Bool("json", false, "print the JSON as it came")
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return wrongUsage(`explain takes one URL, as in "surrogate explain https://shop.example/products/1"`)
	}
	body, err := c.get("/v1/explain?url=" + url.QueryEscape(rest[0]))
	if err != nil {
		return err
	}
	if *asJSON {
		_, err = p.stdout.Write(body)
		return err
	}
	var x explanation
	if err := decode(body, &x); err != nil {
		return err
	}
	x.print(p.stdout)
	return nil
}

// print prints an explanation for people.
func (x *explanation) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n  %s\n\n", x.Key, x.Verdict)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %-13s %s\n", what, fmt.Sprintf(format, args...))
	}
	if x.Served {
		line("site", "%s", x.Site)
	}
	for _, e := range x.Entries {
		since := "before any purge"
		if e.After > 0 {
			since = fmt.Sprintf("after purge %d", e.After)
		}
		line("entry", "%d, %s, age %s, ttl %s, %s, fetched %s", e.Status, e.State, seconds(e.Age), seconds(e.TTL), size(e.Bytes), since)
		if e.Vary != "" {
			line("  varies by", "%s: %s", e.Vary, strings.ReplaceAll(e.Pick, "\n", "; "))
		}
		line("  tags", "%s", some(e.Tags, 0))
		line("  deps", "%s", some(e.Deps, 0))
	}
	for i, f := range x.Falls {
		what := ""
		if i == 0 {
			what = "falls with"
		}
		via := ""
		if len(f.Via) > 0 {
			via = "   because of " + strings.Join(f.Via, ", of ")
		}
		line(what, "%s%s", cmp.Or(f.Says, f.Name), via)
	}
	if len(x.Takes) > 0 {
		line("takes along", "%s", some(x.Takes, 0))
	}
	if u := x.Unkept; u != nil {
		line("not stored", "%s, its answer of %s ago", u.Why, seconds(int64(u.Ago)))
	}
	if t := x.Last; t != nil {
		line("last purge", "%d, %s, %s, of %s", t.Seq, t.At.Format(time.RFC3339), t.Mode, some(t.Asked, 0))
		if t.By != "" {
			line("  by", "%s", t.By)
		}
		if t.Why != "" {
			line("  why", "%s", t.Why)
		}
	}
	if x.Cut {
		line("", "and more than is listed here")
	}
}
