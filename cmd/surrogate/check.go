package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"surrogate/config"
)

// check is the subcommand: it reads a configuration as serve would, and says
// what is wrong with it, all at once.
func check(p *program, args []string) error {
	var flags config.Flags
	fs := p.flags("check")
	flags.Bind(fs)
	rest, err := p.parse(fs, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 1 || len(rest) == 1 && flags.Config != "":
		return wrongUsage("check takes one file")
	case len(rest) == 1:
		flags.Config = rest[0]
	case flags.Config == "" && p.variable("SURROGATE_CONFIG") == "" && len(flags.Origin) == 0:
		return wrongUsage(`check what? Type "surrogate check proxy.toml"`)
	}
	cfg, err := config.Load(config.Source{Env: p.env, Flags: flags})
	if err != nil {
		fmt.Fprintln(p.stdout, err)
		return errSaid
	}
	var tls *tlsPlan
	if cfg.TLS.Used() {
		if tls, err = planTLS(cfg); err != nil {
			fmt.Fprintln(p.stdout, err)
			return errSaid
		}
	}
	if missing := missingLists(cfg); len(missing) > 0 {
		fmt.Fprintln(p.stdout, strings.Join(missing, "\n"))
		return errSaid
	}
	noun := "sites"
	if len(cfg.Sites) == 1 {
		noun = "site"
	}
	names := make([]string, len(cfg.Sites))
	for i := range cfg.Sites {
		names[i] = cfg.Sites[i].Name
	}
	fmt.Fprintf(p.stdout, "ok: %d %s (%s), %s of memory, serving on %s\n",
		len(cfg.Sites), noun, strings.Join(names, ", "), cfg.Cache.Memory, strings.Join(append(cfg.Listen, cfg.TLS.Listen...), ", "))
	if tls != nil {
		tls.describe(p.stdout, time.Now())
	}
	return nil
}

// missingLists is what is wrong with the files that sites take lists from, a
// line each. Whoever serves goes on without them.
func missingLists(cfg *config.Config) (wrong []string) {
	for i := range cfg.Sites {
		s := &cfg.Sites[i]
		for _, name := range s.Warm.Lists {
			f, err := os.Open(name)
			if err == nil {
				var info os.FileInfo
				if info, err = f.Stat(); err == nil && info.IsDir() {
					err = fmt.Errorf("%s is a directory, want a file with a URL or a path in each line", name)
				}
				f.Close()
			}
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("site %s: warm.lists: %v", s.Name, err))
			}
		}
	}
	return wrong
}

// describe tells what clients are shown on HTTPS.
func (p *tlsPlan) describe(w io.Writer, now time.Time) {
	for i, c := range p.files.all {
		note := ""
		switch ending(c.Leaf, now) {
		case "soon":
			note = ", which is soon"
		case "over":
			note = ", which is past: clients refuse it"
		}
		fmt.Fprintf(w, "certificate %s for %s, until %s%s\n", p.files.files[i], strings.Join(namesOn(c.Leaf), ", "), c.Leaf.NotAfter.Format(time.DateOnly), note)
	}
	if len(p.acme) > 0 {
		fmt.Fprintf(w, "certificates by ACME for %s\n", strings.Join(p.acme, ", "))
	}
	if len(p.uncovered) > 0 {
		fmt.Fprintf(w, "no certificate for %s: browsers will refuse them\n", strings.Join(p.uncovered, ", "))
	}
}
