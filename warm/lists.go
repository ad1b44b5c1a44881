package warm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// maxLine is the longest line of a list that is read, in bytes. Of a longer one
// the beginning is kept, for the message, and the rest skipped.
const maxLine = maxURL + 4<<10

// A line is one line of a list that is not blank and no comment.
type line struct {
	number int // from 1, every line counted
	text   string
	err    error // why it cannot be read as text
}

// linesOf yields the lines of a list: one URL each, white space around it
// ignored, "#" at the beginning a comment. A byte order mark is passed over, and
// lines end in LF, CRLF or the end. What is read is never held as a whole. The
// error comes last and says why the list ended early.
func linesOf(r io.Reader) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		b := bufio.NewReaderSize(r, maxLine)
		for n := 1; ; n++ {
			text, err := b.ReadSlice('\n')
			l := line{number: n}
			if errors.Is(err, bufio.ErrBufferFull) {
				l.text = string(text[:200])
				var skipped int64
				skipped, err = skipLine(b)
				l.err = fmt.Errorf("a line of %d bytes: a URL has %d at most", skipped+int64(len(text)), maxURL)
			} else {
				if n == 1 {
					text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
				}
				l.text = string(bytes.TrimSpace(text))
			}
			if err != nil && err != io.EOF {
				// What there is of this line may be a part of it only.
				yield(line{number: n}, err)
				return
			}
			if (l.err != nil || l.text != "" && !strings.HasPrefix(l.text, "#")) && !yield(l, nil) {
				return
			}
			if err == io.EOF {
				return
			}
		}
	}
}

// skipLine reads on to the end of the line and returns how much that was.
func skipLine(b *bufio.Reader) (int64, error) {
	var n int64
	for {
		part, err := b.ReadSlice('\n')
		n += int64(len(part))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// A Rejection is something in a list that is not warmed, and why.
type Rejection struct {
	Line    int    `json:"line,omitzero"`     // of a list, from 1
	Pointer string `json:"pointer,omitempty"` // into a JSON body instead
	Detail  string `json:"detail"`            // what is wrong
	Excerpt string `json:"excerpt,omitempty"` // of what stands there
}

func (r *Rejection) String() string {
	s := r.Detail
	if r.Excerpt != "" {
		s = fmt.Sprintf("%q: %s", r.Excerpt, s)
	}
	if r.Line > 0 {
		s = fmt.Sprintf("line %d: %s", r.Line, s)
	}
	return s
}

// maxRejections is how many are told in words. All are counted.
const maxRejections = 100

// Rejections are what was not understood of a list.
type Rejections struct {
	Count int
	First []Rejection // the first of them, at most 100
}

func (rs *Rejections) add(r Rejection) {
	rs.Count++
	if len(rs.First) < maxRejections {
		r.Excerpt = excerpt(r.Excerpt, 200)
		rs.First = append(rs.First, r)
	}
}

// maxTold is how many bytes of words go with a run.
const maxTold = 1500

// told is all of it in a line each, the first few at most; "" where nothing was
// rejected.
func (rs *Rejections) told(most int) string {
	if rs.Count == 0 {
		return ""
	}
	var b strings.Builder
	n := 0
	for ; n < min(len(rs.First), most); n++ {
		s := rs.First[n].String()
		if n > 0 && b.Len()+len(s) > maxTold {
			break
		}
		b.WriteString(s + "\n")
	}
	if more := rs.Count - n; more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
