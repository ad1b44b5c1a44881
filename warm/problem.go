package warm

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"encoding/json"
)

// A Problem is one thing that is wrong with a request.
type Problem struct {
	Pointer  string `json:"pointer,omitempty"`  // where: a JSON pointer such as "#/urls/3", a line, a parameter's name
	Detail   string `json:"detail"`             // what is wrong
	Accepted string `json:"accepted,omitempty"` // what is accepted there
}

// A RequestError is everything that is wrong with a request. Nothing was
// queued.
type RequestError struct{ Problems []Problem }

// Error lists the first problems in one line.
func (e *RequestError) Error() string {
	const most = 10
	var b strings.Builder
	for i, p := range e.Problems {
		if i == most {
			fmt.Fprintf(&b, "; and %d more", len(e.Problems)-most)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		if p.Pointer != "" {
			b.WriteString(p.Pointer + ": ")
		}
		b.WriteString(p.Detail)
		if p.Accepted != "" {
			b.WriteString(" (accepted: " + p.Accepted + ")")
		}
	}
	return b.String()
}

// problems collects, at most maxRejections of them in words.
type problems struct {
	list []Problem
	more int
}

func (ps *problems) add(pointer, detail, accepted string) {
	if len(ps.list) == maxRejections {
		ps.more++
		return
	}
	ps.list = append(ps.list, Problem{pointer, detail, accepted})
}

func (ps *problems) err() error {
	if len(ps.list) == 0 {
		return nil
	}
	if ps.more > 0 {
		ps.list = append(ps.list, Problem{Detail: fmt.Sprintf("and %d more", ps.more)})
	}
	return &RequestError{ps.list}
}

// at is the JSON pointer of an element of a member's list.
func at(member string, i int) string { return "#/" + member + "/" + strconv.Itoa(i) }

// writeProblem answers with a problem document (RFC 9457).
func writeProblem(w http.ResponseWriter, status int, detail string, list []Problem) {
	writeAs(w, "application/problem+json", status, struct {
		Type   string    `json:"type"`
		Title  string    `json:"title"`
		Status int       `json:"status"`
		Detail string    `json:"detail"`
		Errors []Problem `json:"errors,omitempty"`
	}{"about:blank", http.StatusText(status), status, detail, list})
}

// writeRefusal answers with what is wrong with a request.
func writeRefusal(w http.ResponseWriter, err error) bool {
	re, ok := errors.AsType[*RequestError](err)
	if ok {
		writeProblem(w, http.StatusBadRequest, "Nothing was done, because of what is listed in errors.", re.Problems)
	}
	return ok
}

func writeJSON(w http.ResponseWriter, status int, v any) { writeAs(w, "application/json", status, v) }

func writeAs(w http.ResponseWriter, contentType string, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only a value that JSON cannot express, of which we write none
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body = append(body, '\n')
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}
