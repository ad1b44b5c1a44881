package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"surrogate/config"
)

// serve is the subcommand: it serves until it is told to stop.
func serve(p *program, args []string) error {
	var flags config.Flags
	fs := p.flags("serve")
	flags.Bind(fs)
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrongUsage("serve takes flags only, and %q is none%s", rest[0], p.unknown(rest[0], commands()))
	}
	load := func() (*config.Config, error) { return config.Load(config.Source{Env: p.env, Flags: flags}) }
	if flags.Config == "" && len(flags.Origin) == 0 && p.variable("SURROGATE_CONFIG") == "" && p.variable("SURROGATE_ORIGIN") == "" {
		return wrongUsage(`where is your app? Type "surrogate --origin http://127.0.0.1:3000", or "surrogate demo" to see one`)
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)

	n, f, err := start(cfg, p.stderr)
	if err != nil {
		return err
	}
	n.announce(p.stdout, f)
	return n.untilStopped(f, signals, load)
}

// start binds the addresses of a configuration and serves.
func start(cfg *config.Config, logs io.Writer) (*node, *front, error) {
	n, err := newNode(cfg, logs)
	if err != nil {
		return nil, nil, err
	}
	n.run()
	f, err := listen(cfg, n.keys.challenges(n.purger.Intercept(n.proxy)), n.adminAPI(cfg.AdminToken), n.proxy.Inline, n.log)
	if err != nil {
		n.close()
		return nil, nil, err
	}
	if err = f.secure(&cfg.TLS, n.keys); err == nil {
		err = n.keys.begin(&cfg.TLS, f)
	}
	if err != nil {
		f.unbind()
		n.close()
		return nil, nil, err
	}
	f.serve()
	return n, f, nil
}

// announce prints a line for each listener, which serves by then.
func (n *node) announce(w io.Writer, f *front) {
	line := func(what, url string, everywhere bool, more string) {
		if everywhere {
			more = ", on every interface" + more
		}
		fmt.Fprintf(w, "surrogate: %s on %s%s\n", what, url, more)
	}
	cfg := n.settings.Load()
	to := fmt.Sprintf(", %d sites", len(cfg.Sites))
	if len(cfg.Sites) == 1 {
		var origins []string
		for _, o := range cfg.Sites[0].Origins {
			origins = append(origins, o.String())
		}
		to = ", for " + strings.Join(origins, " and ")
	}
	for _, l := range f.publicAt {
		url, everywhere := urlOf("http", l)
		line("proxy", url, everywhere, to)
	}
	for _, l := range f.secureAt {
		url, everywhere := urlOf("https", l)
		line("proxy", url, everywhere, to)
	}
	if f.adminAt != nil {
		url, everywhere := urlOf("http", f.adminAt)
		line("admin", url, everywhere, "")
	}
}

// untilStopped serves until a signal says to stop, or a listener breaks. A
// second such signal ends the waiting for requests in progress.
func (n *node) untilStopped(f *front, signals <-chan os.Signal, load func() (*config.Config, error)) error {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				n.reload(load)
				continue
			}
			n.log.Info("stopping: finishing the requests in progress", "signal", nameOf(s), "within_s", time.Duration(n.settings.Load().Limits.Drain).Seconds())
			n.finish(f, signals)
			return nil
		case err := <-n.refused:
			n.finish(f, signals)
			return err
		case err := <-f.failed:
			n.finish(f, signals)
			return err
		}
	}
}

// nameOf is a signal's name as operators write it.
func nameOf(s os.Signal) string {
	switch s {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return s.String()
}

// finish drains and closes.
func (n *node) finish(f *front, signals <-chan os.Signal) {
	n.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n.settings.Load().Limits.Drain))
	defer cancel()
	go func() {
		for {
			select {
			case s := <-signals:
				if s == syscall.SIGHUP {
					continue
				}
				cancel()
			case <-ctx.Done():
			}
			return
		}
	}()
	if f.drain(ctx) {
		n.log.Info("stopped: every request was finished")
	} else {
		n.log.Warn("stopped: some requests were cut off")
	}
	n.close()
}
