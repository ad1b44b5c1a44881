package purge

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

var changeMembers = []string{"type", "entity", "id", "tags", "data"}

const hintEvent = `{"entity":"product","id":"123","tags":["…"]} or a CloudEvent 1.0`

// serveEvents takes a data change: our own form, or CloudEvents 1.0 in
// structured, binary or batched mode. Everything in a request is understood
// before anything is purged; of a batch each event is its own purge, and one
// that was seen before purges nothing, so a failed batch can be sent again.
func (p *Purger) serveEvents(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		p.counts.badRequest.Inc()
		return
	}
	var ps problems
	changes, batch := parseEvents(r.Header, body, &ps)
	if len(ps.list) == 0 {
		for i := range changes {
			if _, _, _, err := p.tagsOf(&changes[i]); err != nil {
				if re, ok := errors.AsType[*RequestError](err); ok {
					ps.addAll(within(batch, i, re.Problems))
				}
			}
		}
	}
	if err := ps.err(); err != nil {
		p.counts.failed(err)
		writeError(w, err)
		return
	}
	receipts := []Receipt{}
	status := http.StatusOK
	for i, c := range changes {
		if c.By == "" {
			c.By = r.Method + " " + r.URL.Path + " from " + r.RemoteAddr
		}
		receipt, err := p.Change(r.Context(), c)
		if err != nil && i > 0 {
			status, detail := failure(err)
			writeProblem(w, status, fmt.Sprintf("The first %d of %d events were purged, the others not; send all again. %s", i, len(changes), detail), nil)
			return
		}
		if err != nil {
			writeError(w, err)
			return
		}
		status = max(status, statusOf(receipt))
		receipts = append(receipts, receipt)
	}
	if batch {
		writeJSON(w, status, receipts)
		return
	}
	writeJSON(w, status, receipts[0])
}

// within makes pointers into an event pointers into the batch it is in.
func within(batch bool, i int, list []Problem) []Problem {
	for k := range list {
		if batch {
			list[k].Pointer = fmt.Sprintf("#/%d%s", i, strings.TrimPrefix(list[k].Pointer, "#"))
		}
	}
	return list
}

// parseEvents reads what a request to /v1/events brings.
func parseEvents(h http.Header, body []byte, ps *problems) (changes []Change, batch bool) {
	mediaType, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case mediaType == "application/cloudevents-batch+json":
		var list []json.RawMessage
		if err := json.Unmarshal(body, &list); err != nil {
			ps.add("", "not a JSON list: "+err.Error(), "a list of CloudEvents 1.0")
			return nil, true
		}
		for i, raw := range list {
			var own problems
			changes = append(changes, parseCloudEvent(raw, &own))
			ps.addAll(within(true, i, own.list))
		}
		return changes, true
	case h.Get("Ce-Specversion") != "":
		attrs := make(map[string]string)
		for name, values := range h {
			if a, ok := strings.CutPrefix(strings.ToLower(name), "ce-"); ok {
				v, err := url.PathUnescape(values[0]) // HTTP binding, section 3.1.3.2
				if err != nil {
					v = values[0]
				}
				attrs[a] = v
			}
		}
		return []Change{cloudChange(attrs, jsonData(body), ps)}, false
	case mediaType == "application/cloudevents+json" || isCloudEvent(body):
		return []Change{parseCloudEvent(body, ps)}, false
	}
	return []Change{parseChange(body, ps)}, false
}

// isCloudEvent tells an event that came as plain application/json.
func isCloudEvent(body []byte) bool {
	var probe struct {
		Version *string `json:"specversion"`
	}
	return json.Unmarshal(body, &probe) == nil && probe.Version != nil
}

// parseChange reads our own form.
func parseChange(body []byte, ps *problems) Change {
	m := members(body, changeMembers, ps)
	var c Change
	c.Type, _ = readString(m, "type", "a string", ps)
	c.Entity, _ = readString(m, "entity", "a string", ps)
	if raw, ok := m["id"]; ok {
		if kind(raw) == "a number" {
			c.ID = string(raw)
		} else {
			c.ID, _ = readString(m, "id", "a string or a number", ps)
		}
	}
	c.Tags = readStrings(m, "tags", hintTags, ps)
	if raw, ok := m["data"]; ok {
		if kind(raw) != "an object" {
			ps.add("#/data", kind(raw)+" where an object is wanted", "an object")
		} else {
			c.Data = jsonData(raw)
		}
	}
	if len(ps.list) > 0 {
		return c
	}
	if (c.Entity == "") != (c.ID == "") {
		ps.add("", "entity and id belong together", hintEvent)
	} else if c.Entity == "" && len(c.Tags) == 0 {
		ps.add("", "it names nothing that changed", hintEvent)
	}
	return c
}

// parseCloudEvent reads a structured event. Unknown members are extension
// attributes, and allowed.
func parseCloudEvent(body []byte, ps *problems) Change {
	m := members(body, nil, ps)
	if m == nil {
		return Change{}
	}
	attrs := make(map[string]string)
	for name, raw := range m {
		if name != "data" && name != "data_base64" && kind(raw) == "a string" {
			var s string
			if json.Unmarshal(raw, &s) == nil {
				attrs[name] = s
			}
		}
	}
	data := jsonData(m["data"])
	if raw, ok := m["data_base64"]; ok {
		var s string
		b, err := []byte(nil), json.Unmarshal(raw, &s)
		if err == nil {
			b, err = base64.StdEncoding.DecodeString(s)
		}
		if err != nil {
			ps.add("#/data_base64", "not base64", "a string in base64")
		}
		data = jsonData(b)
	}
	return cloudChange(attrs, data, ps)
}

// jsonData returns an object's members, numbers as they were written; nil when
// it is none.
func jsonData(b []byte) map[string]any {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var m map[string]any
	if dec.Decode(&m) != nil {
		return nil
	}
	return m
}

// cloudChange maps an event's attributes. What changed is what its data calls
// entity and id, or else its subject, "product/123"; a subject without a slash
// is the id, and the entity the last but one part of the type,
// "com.shop.product.updated". Tags are those of data.tags.
func cloudChange(attrs map[string]string, data map[string]any, ps *problems) Change {
	for _, a := range []string{"id", "source", "type", "specversion"} {
		if attrs[a] == "" {
			ps.add("#/"+a, "a CloudEvent must have it", "a string that is not empty")
		}
	}
	if v := attrs["specversion"]; v != "" && v != "1.0" {
		ps.add("#/specversion", fmt.Sprintf("version %.20q is not supported", v), "1.0")
	}
	sum := sha256.Sum256([]byte(attrs["source"] + "\x00" + attrs["id"]))
	c := Change{
		Type: attrs["type"], Data: data, Once: "ce-" + hex.EncodeToString(sum[:16]),
		By: "event " + attrs["id"] + " from " + attrs["source"],
	}
	entity, id := "", attrs["subject"]
	if i := strings.LastIndexByte(id, '/'); i >= 0 {
		entity, id = strings.Trim(id[:i], "/"), id[i+1:]
	} else if parts := strings.Split(c.Type, "."); len(parts) > 1 {
		entity = parts[len(parts)-2]
	}
	if s := text(data["entity"]); s != "" {
		entity = s
	}
	if s := text(data["id"]); s != "" && (id == "" || text(data["entity"]) != "") {
		id = s
	}
	if entity != "" && id != "" {
		c.Entity, c.ID = entity, id
	}
	if list, ok := data["tags"].([]any); ok {
		for _, el := range list {
			c.Tags = append(c.Tags, text(el))
		}
	}
	return c
}
