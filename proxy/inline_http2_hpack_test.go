package proxy

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// Whatever is written first after a client has made its table smaller, it is told so at
// the beginning of that block, where alone it may be (RFC 7541, section 4.2).
func TestTableSizeUpdates(t *testing.T) {
	for _, first := range []string{"etag", "cache-status", "x-own", ":status"} {
		var w, theirs blockWriter
		w.open(false)
		theirs.open(true)
		client := hpack.NewDecoder(tableBytes, nil)
		for i, table := range []uint32{tableBytes, 200, 100, 100, 0, 0} {
			w.limit(table)
			client.SetAllowedMaxDynamicTableSize(table)
			at := theirs.begin(nil)
			want := []string{first + ": 1", "content-type: text/html", "x-other: " + strings.Repeat("long ", 20)}
			for _, f := range want {
				name, value, _ := strings.Cut(f[1:], ": ")
				theirs.field(f[:1]+name, value)
			}
			block := theirBlock{text: theirs.end(at, 1, true)[frameHeadLen:]}
			b, err := w.rewrite(nil, &block)
			if err != nil {
				t.Fatal(err)
			}
			fields, err := client.DecodeFull(b[frameHeadLen:])
			var got []string
			for _, f := range fields {
				got = append(got, f.Name+": "+f.Value)
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("block %d, with a table of %d, is read as %q, %v", i, table, got, err)
			}
			if i == 1 || i == 2 || i == 4 {
				if b[frameHeadLen]&0xe0 != 0x20 {
					t.Errorf("block %d, with a table of %d, begins with %x", i, table, b[frameHeadLen])
				}
			}
		}
	}
}
