package warm

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
)

// registrations are what the routes of entities show: those of the
// configuration, by site, and that which was registered at run time.
type registrations struct {
	Entity     string         `json:"entity"`
	Configured []Registration `json:"configured"`
	Registered *Registration  `json:"registered"`
}

func (in *Intake) registrations(entity string, r *Registration) registrations {
	out := registrations{Entity: entity, Configured: []Registration{}, Registered: r}
	for _, s := range in.o.Sites() {
		if urls := s.Entities[entity]; len(urls) > 0 {
			out.Configured = append(out.Configured, Registration{s.Name, urls})
		}
	}
	return out
}

func (in *Intake) serveEntities(w http.ResponseWriter, r *http.Request) {
	all, err := in.o.Entities.All(r.Context())
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "They could not be looked up: "+err.Error(), nil)
		return
	}
	out := struct {
		Entities []registrations `json:"entities"`
	}{[]registrations{}}
	names := map[string]bool{}
	for name := range all {
		names[name] = true
	}
	for _, s := range in.o.Sites() {
		for name := range s.Entities {
			names[name] = true
		}
	}
	for _, name := range sorted(names) {
		var registered *Registration
		if r, ok := all[name]; ok {
			registered = &r
		}
		out.Entities = append(out.Entities, in.registrations(name, registered))
	}
	writeJSON(w, http.StatusOK, out)
}

func (in *Intake) serveEntity(w http.ResponseWriter, r *http.Request, entity string) {
	registered, err := in.o.Entities.Get(r.Context(), entity)
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "It could not be looked up: "+err.Error(), nil)
		return
	}
	out := in.registrations(entity, registered)
	if registered == nil && len(out.Configured) == 0 {
		writeProblem(w, http.StatusNotFound, "Nothing is registered for this entity.", nil)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

// setEntity registers {"urls":["/products/{id}"],"site":"…"} in place of what was
// registered before.
func (in *Intake) setEntity(w http.ResponseWriter, r *http.Request, entity string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		in.writeUnread(w, Answer{}, err)
		return
	}
	var ps problems
	if err := checkEntity(entity); err != nil {
		ps.add("", "this cannot be the name of an entity", err.Error())
	}
	m := members(body, "", []string{"urls", "site"}, &ps)
	reg := Registration{Site: readString(m, "site", hintStr, &ps), URLs: readStrings(m, "urls", true, "URL templates", &ps)}
	if m != nil {
		in.checkRegistration(&reg, &ps)
	}
	if writeRefusal(w, ps.err()) {
		return
	}
	if !in.set(w, r, entity, &reg) {
		return
	}
	in.log.Info("registered for warming", "entity", entity, "site", reg.Site, "urls", len(reg.URLs), "by", r.RemoteAddr)
	writeJSON(w, http.StatusOK, in.registrations(entity, &reg))
}

// endEntity ends what was registered at run time; the configuration's stays.
func (in *Intake) endEntity(w http.ResponseWriter, r *http.Request, entity string) {
	if !in.set(w, r, entity, nil) {
		return
	}
	in.log.Info("no longer registered for warming", "entity", entity, "by", r.RemoteAddr)
	writeJSON(w, http.StatusOK, in.registrations(entity, nil))
}

func (in *Intake) set(w http.ResponseWriter, r *http.Request, entity string, reg *Registration) bool {
	err := in.o.Entities.Set(r.Context(), entity, reg)
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrEntities):
		writeProblem(w, http.StatusConflict, "Nothing was registered: "+err.Error(), nil)
	default:
		writeProblem(w, http.StatusServiceUnavailable, "Nothing was registered: "+err.Error(), nil)
	}
	return false
}

func sorted(names map[string]bool) []string { return slices.Sorted(maps.Keys(names)) }
