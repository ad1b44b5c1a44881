package main

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"time"
)

// filesEvery is how often files are looked at. What has changed is read when it has
// not changed between two looks: whoever writes it may be in the middle of it.
const filesEvery = 5 * time.Second

// run keeps an eye on the files, and on the ends of certificates, until ctx ends.
func (k *keyring) run(ctx context.Context) {
	look := time.NewTicker(filesEvery)
	defer look.Stop()
	for {
		k.warn(time.Now())
		select {
		case <-look.C:
			k.reread()
		case <-ctx.Done():
			return
		}
	}
}

// reread reads the files if they have changed and come to rest. If one cannot be
// used all stays as it was, and the log says so once.
func (k *keyring) reread() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := stampsOf(k.pairs)
	if slices.Equal(now, k.seen) {
		k.moving = nil
		return
	}
	if !slices.Equal(now, k.moving) {
		k.moving = now
		return
	}
	k.seen, k.moving = now, nil
	files, err := readCertificates(k.pairs)
	if err != nil {
		k.counts.failures.Inc()
		for line := range strings.SplitSeq(err.Error(), "\n") {
			k.log.Error("a changed certificate was refused, all stay as they were", "error", line)
		}
		return
	}
	k.inForce.Store(files)
	k.log.Info("certificates read again", "files", len(files.all))
}

// shown are all certificates, by their titles.
func (k *keyring) shown() map[string]*tls.Certificate {
	all := map[string]*tls.Certificate{}
	put := func(c *tls.Certificate, name string) {
		if other := all[name]; other == nil || c.Leaf.NotAfter.Before(other.Leaf.NotAfter) {
			all[name] = c // of several for a name the one that ends first
		}
	}
	for _, c := range k.inForce.Load().all {
		put(c, title(c.Leaf))
	}
	if k.acme != nil {
		for _, host := range k.acme.names() {
			if c := k.acme.current(host); len(c) > 0 {
				put(c[0], host) // what it replaced is not shown any more
			}
		}
	}
	return all
}

// warn logs that a certificate is near its end, and again that it is past it.
func (k *keyring) warn(now time.Time) {
	all := k.shown()
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, c := range all {
		how := ending(c.Leaf, now)
		if how == k.warned[name] {
			continue
		}
		switch k.warned[name] = how; how {
		case "soon":
			k.log.Warn("a certificate is about to expire", "name", name, "at", c.Leaf.NotAfter)
		case "over":
			k.log.Error("a certificate has expired: clients refuse it", "name", name, "at", c.Leaf.NotAfter)
		}
	}
}
