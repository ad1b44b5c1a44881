package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"surrogate/purge"
)

// A purgeRequest is the body of POST /v1/purge; purge.ParseRequest says more.
type purgeRequest struct {
	Tags       []string `json:"tags,omitempty"`
	Keys       []string `json:"keys,omitempty"`
	URLs       []string `json:"urls,omitempty"`
	Prefixes   []string `json:"prefixes,omitempty"`
	Hosts      []string `json:"hosts,omitempty"`
	Everything bool     `json:"everything,omitempty"`
	Mode       string   `json:"mode,omitempty"`
	DryRun     bool     `json:"dry_run,omitempty"`
	Rewarm     *int     `json:"rewarm,omitempty"`
	Wait       string   `json:"wait,omitempty"`
	ID         string   `json:"id,omitempty"`
	Why        string   `json:"why,omitempty"`
}

// purgeCommand is the subcommand: it purges through the admin API of a running
// surrogate and prints the receipt.
func purgeCommand(p *program, args []string) error {
	fs := p.flags("purge")
	var c adminClient
	var r purgeRequest
	c.bind(fs, p)
	list := func(name, usage string, to *[]string) {
		fs.Func(name, usage, func(s string) error { *to = append(*to, s); return nil })
	}
	list("tag", "a `tag` or dep; may also stand without --tag, unless it looks like a URL", &r.Tags)
	list("url", "a `URL` with its host and port, as clients write it; all its variants, both schemes", &r.URLs)
	list("prefix", "all URLs that begin with `host/path`, the port included", &r.Prefixes)
	list("host", "all of a `host`, the port included where clients write one", &r.Hosts)
	list("key", "a `key` as receipts and lists show it; both schemes", &r.Keys)
	fs.BoolVar(&r.Everything, "everything", false, "all there is")
	soft := fs.Bool("soft", false, "make stale instead of killing")
	fs.BoolVar(&r.DryRun, "dry-run", false, "tell what would fall, change nothing")
	fs.Func("rewarm", "fetch `so many` of the pages that fell again, the hottest; 0 for none (default what the site says)", func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil {
			return errors.New("want a number of pages")
		}
		r.Rewarm = &n
		return nil
	})
	fs.StringVar(&r.ID, "id", "", "`id` of this purge: sent again it purges nothing")
	fs.StringVar(&r.Why, "why", "", "`reason`, for the log")
	fs.StringVar(&r.Wait, "wait", "", "longest `time` to wait for other nodes")
	asJSON := fs.Bool("json", false, "print the receipt as JSON")
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	for _, tag := range rest {
		if strings.Contains(tag, "://") {
			return wrongUsage("%q looks like a URL: surrogate purge --url %s; --tag=%s insists on the tag", tag, tag, tag)
		}
		if strings.HasPrefix(tag, "/") {
			return wrongUsage("%q looks like a URL, which needs its host: surrogate purge --url http://HOST%s; --tag=%s insists on the tag", tag, tag, tag)
		}
	}
	r.Tags = append(r.Tags, rest...)
	if *soft {
		r.Mode = "soft"
	}
	if len(r.Tags)+len(r.URLs)+len(r.Prefixes)+len(r.Hosts)+len(r.Keys) == 0 && !r.Everything {
		return wrongUsage(`purge what? Type "surrogate purge product:1", or --url, --prefix, --host, --everything`)
	}
	body, _, err := c.do("POST", "/v1/purge", r)
	if err != nil {
		return err
	}
	var receipt purge.Receipt
	if err := decode(body, &receipt); err != nil {
		return err
	}
	if *asJSON {
		_, err = p.stdout.Write(body)
	} else {
		printReceipt(p.stdout, &receipt)
	}
	if err == nil && !receipt.Complete && receipt.State != purge.DryRun {
		return fmt.Errorf("not every node has confirmed yet: GET /v1/purges/%s tells when", receipt.ID)
	}
	return err
}

// printReceipt prints a receipt for people.
func printReceipt(w io.Writer, r *purge.Receipt) {
	verb := "purged"
	switch {
	case r.State == purge.DryRun:
		verb = "would purge"
	case r.Mode == "soft":
		verb = "made stale"
	}
	fmt.Fprintf(w, "%s %s\n", verb, some(r.Asked, r.AskedMore))
	if len(r.Expanded) > 0 {
		fmt.Fprintf(w, "  with it   %s\n", some(r.Expanded, r.ExpandedMore))
	}
	bound := ""
	if !r.Exact {
		bound = "at most "
	}
	fmt.Fprintf(w, "  entries   %s%d, %s\n", bound, r.Entries, size(r.Bytes))
	if r.State != purge.DryRun {
		where := "everywhere"
		if !r.Complete {
			where = "not yet everywhere"
		}
		fmt.Fprintf(w, "  in force  %s, after %.2f ms\n", where, r.TookMS)
		fmt.Fprintf(w, "  receipt   %s, number %d\n", r.ID, r.Seq)
	}
	for _, f := range r.WouldFall {
		fmt.Fprintf(w, "  %6d  %s\n", f.Entries, f.Name)
	}
	for _, k := range r.Sample {
		fmt.Fprintf(w, "          %s\n", k)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "  note      %s\n", n)
	}
}

// some is the beginning of a list of names.
func some(names []string, more int) string {
	const shown = 12
	more += max(0, len(names)-shown)
	s := strings.Join(names[:min(len(names), shown)], ", ")
	if more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
