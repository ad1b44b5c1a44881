package redisstore

import (
	"context"
	"encoding/base64"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxInline is the largest body that lies beside its head and comes with it.
	maxInline = 64 << 10
	// chunk is what a larger one is cut into, so that no command keeps the server
	// from others for long, and none of its buffers grows with the body.
	chunk = 512 << 10
	// maxBody is the largest there can be.
	maxBody = 512 << 20
)

// chunkKey is where a piece of one version's body is. Bodies are written before
// the meta that names them, and never written again.
func (i *incarnation) chunkKey(url id, v *version, n int) string {
	return i.key("b", url.String()) + base64.RawURLEncoding.EncodeToString(v.gen[:]) + ":" + strconv.Itoa(n)
}

// readBody reads a body into the one buffer it will stay in. nil means that some
// of it is gone.
func (s *Store) readBody(ctx context.Context, inc *incarnation, url id, v *version, n int) ([]byte, error) {
	buf := make([]byte, n+2) // the client reads the line's end into it too
	for i, at := 0, 0; at < n; i++ {
		size := min(chunk, n-at)
		var got int
		key := inc.chunkKey(url, v, i)
		err := s.guardAt(ctx, "body", key, func(ctx context.Context) (err error) {
			got, err = s.rdb.GetToBuffer(ctx, key, buf[at:at+size+2]).Result()
			return err
		})
		if nilIsNone(err) != nil {
			return nil, err
		}
		if err != nil || got != size {
			return nil, nil
		}
		at += size
	}
	return buf[:n:n], nil
}

// writeBody writes a body in chunks that end with its entry.
func (s *Store) writeBody(ctx context.Context, inc *incarnation, url id, v *version, body []byte, life time.Duration) error {
	for i, at := 0, 0; at < len(body); i++ {
		size := min(chunk, len(body)-at)
		err := s.guardWrite(ctx, "body", func(ctx context.Context) error {
			return s.rdb.Set(ctx, inc.chunkKey(url, v, i), body[at:at+size], life).Err()
		})
		if err != nil {
			return err
		}
		at += size
	}
	return nil
}

// dropBody frees the chunks of a body that nothing names any more.
func dropBody(ctx context.Context, p redis.Pipeliner, inc *incarnation, url id, v *version, n int) {
	for i := 0; i*chunk < n; i++ {
		p.Unlink(ctx, inc.chunkKey(url, v, i))
	}
}
