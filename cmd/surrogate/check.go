package main

import (
	"fmt"
	"strings"

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
	noun := "sites"
	if len(cfg.Sites) == 1 {
		noun = "site"
	}
	names := make([]string, len(cfg.Sites))
	for i := range cfg.Sites {
		names[i] = cfg.Sites[i].Name
	}
	fmt.Fprintf(p.stdout, "ok: %d %s (%s), %s of memory, serving on %s\n",
		len(cfg.Sites), noun, strings.Join(names, ", "), cfg.Cache.Memory, strings.Join(cfg.Listen, ", "))
	return nil
}
