package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis says where the fleet's Redis is. Either URL says all of it, or Addrs
// says where and the rest how; fields that are set win over what URL says.
//
//	redis://user:password@host:6379/0              one server
//	rediss://…                                     with TLS, in all four forms
//	unix:///run/redis.sock?db=0
//	redis+sentinel://user:password@s1:26379,s2:26379/master/0
//	redis+cluster://user:password@n1:6379,n2:6379
type Redis struct {
	URL      string
	Addrs    []string // host:port of the server, the sentinels, or some of the cluster
	Master   string   // the master's name: Addrs are sentinels
	Cluster  bool     // Addrs are nodes of a cluster
	Username string
	Password string
	DB       int

	SentinelUsername string
	SentinelPassword string

	TLS         *tls.Config
	Pool        int           // connections; 64
	DialTimeout time.Duration // 500 ms
	Timeout     time.Duration // of a command that nothing else bounds; 1 s

	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// parse fills in what URL says.
func (r Redis) parse() (Redis, error) {
	if r.URL == "" {
		if len(r.Addrs) == 0 {
			return r, errors.New("redisstore: neither URL nor address of a Redis")
		}
		return r, nil
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		// The error repeats the URL, and the URL may have a password in it.
		return r, errors.New("redisstore: the URL of Redis does not parse")
	}
	scheme, kind, _ := strings.Cut(u.Scheme, "+")
	switch {
	case scheme == "unix" && kind == "":
		r.Addrs = []string{u.Path}
		if db := u.Query().Get("db"); db != "" {
			if r.DB, err = strconv.Atoi(db); err != nil {
				return r, fmt.Errorf("redisstore: database %q is not a number", db)
			}
		}
	case scheme == "redis" || scheme == "rediss":
		if scheme == "rediss" && r.TLS == nil {
			r.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		port := "6379"
		if kind == "sentinel" {
			port = "26379"
		}
		for a := range strings.SplitSeq(u.Host, ",") {
			if _, _, err := net.SplitHostPort(a); err != nil {
				a = net.JoinHostPort(strings.Trim(a, "[]"), port)
			}
			r.Addrs = append(r.Addrs, a)
		}
		path := strings.Split(strings.Trim(u.Path, "/"), "/")
		switch kind {
		case "cluster":
			r.Cluster = true
		case "sentinel":
			r.Master, path = path[0], path[1:]
			if r.Master == "" {
				return r, errors.New("redisstore: a redis+sentinel URL names the master: redis+sentinel://host:26379/master")
			}
		case "":
		default:
			return r, fmt.Errorf("redisstore: unknown scheme %q", u.Scheme)
		}
		if len(path) > 0 && path[0] != "" {
			if r.DB, err = strconv.Atoi(path[0]); err != nil {
				return r, fmt.Errorf("redisstore: database %q is not a number", path[0])
			}
		}
	default:
		return r, fmt.Errorf("redisstore: unknown scheme %q; redis, rediss, unix, redis+sentinel and redis+cluster are known", u.Scheme)
	}
	if r.Username == "" {
		r.Username = u.User.Username()
	}
	if p, ok := u.User.Password(); ok && r.Password == "" {
		r.Password = p
	}
	if r.Cluster && r.DB != 0 {
		return r, errors.New("redisstore: a Redis Cluster has database 0 only")
	}
	return r, nil
}

// silence keeps go-redis from writing to standard error at every failed dial. It
// has one logger for the process, and this package is the only one that has to
// do with it; what goes wrong comes back as errors too.
var silence = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// open returns the data plane's client and the control plane's.
func (r Redis) open() (data, control redis.UniversalClient, err error) {
	if r, err = r.parse(); err != nil {
		return nil, nil, err
	}
	silence()
	r.setDefaults()
	return r.client(1, r.Pool), r.client(-1, 16), nil
}

func (r *Redis) setDefaults() {
	def := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&r.DialTimeout, 500*time.Millisecond)
	def(&r.Timeout, time.Second)
	if r.Pool <= 0 {
		r.Pool = 64
	}
}

func (r Redis) client(retries, pool int) redis.UniversalClient {
	return redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:            r.Addrs,
		MasterName:       r.Master,
		IsClusterMode:    r.Cluster,
		Username:         r.Username,
		Password:         r.Password,
		SentinelUsername: r.SentinelUsername,
		SentinelPassword: r.SentinelPassword,
		DB:               r.DB,
		TLSConfig:        r.TLS,
		Dialer:           r.dial,

		// A context's deadline bounds the command. Off by default.
		ContextTimeoutEnabled: true,
		MaxRetries:            retries,
		MinRetryBackoff:       2 * time.Millisecond,
		MaxRetryBackoff:       20 * time.Millisecond,
		DialTimeout:           r.DialTimeout,
		DialerRetries:         1,
		ReadTimeout:           r.Timeout,
		WriteTimeout:          r.Timeout,
		PoolTimeout:           r.Timeout,
		PoolSize:              pool,
		// Slots move one at a time, and each may answer MOVED once, then ASK.
		MaxRedirects: 3,
	})
}
