package purge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"surrogate/store"
)

// Errors that callers branch on. An error of a purge that is none of these and
// no *RequestError comes from the store, and nothing was purged, but for
// store.ErrUnsure, which says so.
var (
	// ErrTooMany refuses a purge whose cascade is over the bound. Nothing was
	// purged, except by traffic; see Purger.Invalidate.
	ErrTooMany = errors.New("too many names depend on this")
	// ErrConflict refuses a purge whose id another, different purge had. Nothing
	// was purged.
	ErrConflict = errors.New("another purge had this id")
	// ErrPartial says that a purge began and could not be finished: part of what
	// was asked for, or of what was made from it, may not have fallen. Repeating
	// the purge is safe.
	ErrPartial = errors.New("purged in part")
)

// A Problem is one thing that is wrong with a request.
type Problem struct {
	Pointer  string `json:"pointer,omitempty"`  // where: a JSON pointer such as "#/tags/3", or a field's name
	Detail   string `json:"detail"`             // what is wrong
	Accepted string `json:"accepted,omitempty"` // what is accepted there
}

// A RequestError is everything that is wrong with a request. Nothing was
// purged.
type RequestError struct{ Problems []Problem }

// Error lists the problems in one line.
func (e *RequestError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		if p.Pointer != "" {
			b.WriteString(p.Pointer)
			b.WriteString(": ")
		}
		b.WriteString(p.Detail)
		if p.Accepted != "" {
			b.WriteString(" (accepted: ")
			b.WriteString(p.Accepted)
			b.WriteString(")")
		}
	}
	return b.String()
}

// maxProblems bounds what one answer lists; a million bad tags need no more.
const maxProblems = 100

// problems collects.
type problems struct {
	list []Problem
	more int
}

func (ps *problems) add(pointer, detail, accepted string) {
	if len(ps.list) == maxProblems {
		ps.more++
		return
	}
	ps.list = append(ps.list, Problem{pointer, detail, accepted})
}

func (ps *problems) addAll(list []Problem) {
	for _, p := range list {
		ps.add(p.Pointer, p.Detail, p.Accepted)
	}
}

// err returns the collected problems, nil when there are none.
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

// A document is a problem document (RFC 9457).
type document struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`
	Errors []Problem `json:"errors,omitempty"`
}

// writeProblem answers with a problem document.
func writeProblem(w http.ResponseWriter, status int, detail string, list []Problem) {
	writeAs(w, "application/problem+json", status, document{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Errors: list,
	})
}

// writeError answers with what err comes to; see status.
func writeError(w http.ResponseWriter, err error) {
	if re, ok := errors.AsType[*RequestError](err); ok {
		writeProblem(w, http.StatusBadRequest, "Nothing was done, because of what is listed in errors.", re.Problems)
		return
	}
	status, detail := failure(err)
	writeProblem(w, status, detail, nil)
}

// writeRefusal answers a question that could not be understood.
func writeRefusal(w http.ResponseWriter, err error) {
	if re, ok := errors.AsType[*RequestError](err); ok {
		writeProblem(w, http.StatusBadRequest, "This cannot be answered, because of what is listed in errors.", re.Problems)
		return
	}
	writeProblem(w, http.StatusBadRequest, err.Error(), nil)
}

// failure returns the status and the sentence for an error of a purge.
func failure(err error) (status int, detail string) {
	if _, ok := errors.AsType[*RequestError](err); ok {
		return http.StatusBadRequest, err.Error()
	}
	switch {
	case errors.Is(err, ErrTooMany), errors.Is(err, store.ErrTooManyPrefixes):
		return http.StatusUnprocessableEntity, "Nothing was purged: " + err.Error()
	case errors.Is(err, ErrConflict):
		return http.StatusConflict, "Nothing was purged: " + err.Error()
	case errors.Is(err, ErrPartial):
		return http.StatusServiceUnavailable, "Repeat this purge: " + err.Error()
	case errors.Is(err, store.ErrUnsure):
		return http.StatusServiceUnavailable, "It may have been purged, or not, for the store's answer was lost. Repeat this purge: " + err.Error()
	}
	return http.StatusServiceUnavailable, "Nothing was purged: " + err.Error()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	writeAs(w, "application/json", status, v)
}

// writeAs answers with v as JSON. Clients of the purge dialects read until
// Content-Length or, without it, until the connection closes.
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
	_, _ = w.Write(body) // the client may have gone; the purge stands
}
