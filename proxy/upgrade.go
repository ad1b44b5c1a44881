package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
)

type passageKey struct{}

func passageOf(r *http.Request) *passage { return r.Context().Value(passageKey{}).(*passage) }

// upgrade passes a request for another protocol, which becomes a tunnel if the
// origin agrees.
func (p *Proxy) upgrade(r *http.Request, g *passage) {
	g.q.site.upgrader.ServeHTTP(g.o.writer(), r.WithContext(context.WithValue(r.Context(), passageKey{}, g)))
}

// newUpgrader makes what passes a site's requests for other protocols.
func (p *Proxy) newUpgrader(s *site) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:  s.origin,
		BufferPool: chunkPool{},
		ErrorLog:   slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		Rewrite: func(pr *httputil.ProxyRequest) {
			g := passageOf(pr.In)
			pr.Out.Header = p.forwardHeader(g.q)
			pr.Out.Header["Connection"], pr.Out.Header["Upgrade"] = []string{"Upgrade"}, pr.In.Header["Upgrade"]
			pr.Out.URL = &url.URL{Opaque: g.target(pr.In)}
			pr.Out.Host = g.q.originHost()
		},
		ModifyResponse: func(resp *http.Response) error {
			g := passageOf(resp.Request)
			g.o.fwdStatus = resp.StatusCode
			if resp.StatusCode == http.StatusSwitchingProtocols {
				return nil
			}
			p.passed(resp.Request.Context(), resp, g)
			resp.Header = g.q.site.visible(resp.Header)
			g.o.cacheStatus(resp.Header, g.q)
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) { p.notPassed(r.Context(), passageOf(r), err) },
	}
}

// chunkPool lends the proxy's chunks to httputil.
type chunkPool struct{}

func (chunkPool) Get() []byte  { return *getChunk() }
func (chunkPool) Put(b []byte) { putChunk(&b) }
