package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"surrogate/config"
)

// demo is the subcommand: a small shop, surrogate in front of it, and what to
// paste to see the point.
func demo(p *program, args []string) error {
	var flags config.Flags
	fs := p.flags("demo")
	fs.Func("set", "set any key of the configuration, as `key=value`; may be repeated", func(s string) error {
		flags.Set = append(flags.Set, s)
		return nil
	})
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrongUsage("demo takes no arguments")
	}
	l, err := net.Listen("tcp", preferred("3000"))
	if err != nil {
		return fmt.Errorf("couldn't open the shop: %w", err)
	}
	shopURL := "http://" + l.Addr().String()
	shop := newShop(renderTime)
	origin := &http.Server{Handler: shop.routes(), ReadHeaderTimeout: 10 * time.Second}
	open := make(chan error, 1)
	go func() { open <- origin.Serve(l) }()
	defer func() {
		origin.Close()
		<-open
	}()

	admin := preferred("8081")
	flags.Origin, flags.Listen, flags.Admin = []string{shopURL}, []string{preferred("8080")}, &admin
	flags.Set = append([]string{"log.access=false", "log.level=warn", "limits.drain=2s"}, flags.Set...)
	load := func() (*config.Config, error) { return config.Load(config.Source{Flags: flags}) }
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
	fmt.Fprintf(p.stdout, "surrogate: shop  on %s, where every page takes %d ms\n", shopURL, renderTime.Milliseconds())
	n.announce(p.stdout, f)
	proxyURL, _ := urlOf("http", f.publicAt[0])
	adminURL, _ := urlOf("http", f.adminAt)
	shop.open(addresses{shopURL, proxyURL, adminURL})
	showAround(p.stdout, shopURL, proxyURL, adminURL)
	return n.untilStopped(f, signals, load)
}

// preferred is a port of loopback, or any if that is taken.
func preferred(port string) string {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:"+port)
	if errors.Is(err, syscall.EADDRINUSE) {
		return "127.0.0.1:0"
	}
	if err == nil {
		l.Close()
	}
	return "127.0.0.1:" + port
}

// showAround prints what to paste. A test pastes it.
func showAround(w io.Writer, shop, proxy, admin string) {
	fmt.Fprintf(w, `
Open %[2]s/products/1 in a browser, change its price there, and see the cache at work on %[3]s. Or paste:

  # 1. Twice: the first waits for the shop, the second is a hit.
  for n in 1 2; do curl -s -o /dev/null -D - -w '%%{time_total} s\n\n' %[2]s/products/$n; done

  # 2. What product 1 costs, by its own page, its category and the homepage.
  curl -s %[2]s/products/1 %[2]s/categories/shoes %[2]s/ | grep -o 'Trail runner, [^<]*'

  # 3. Change the price in the shop and purge the product. Then paste 2 again: all three say the new price.
  curl -s -X POST '%[1]s/admin/products/1?price=19.90' && curl -s -X PURGE -H 'Surrogate-Key: product:1' %[2]s/

  # 4. Nothing else was dropped: product 2 is still a hit.
  curl -s -o /dev/null -D - %[2]s/products/2

Ctrl-C ends it.
`, shop, proxy, admin)
}
