package proxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"
)

// answer is what the fake origin says in a scenario.
func (r *run) answer(req *http.Request, n int) (*reply, error) {
	target := targetOf(req)
	queue := target
	if len(r.answers[queue]) == 0 {
		queue = ""
	}
	list := r.answers[queue]
	if len(list) == 0 {
		r.origin.surprise = fmt.Errorf("the origin was asked for %s and does not know what to say", target)
		return nil, r.origin.surprise
	}
	// One that was given stays only as long as nothing follows it.
	if len(list) > 1 && list[0].given {
		list = list[1:]
		r.answers[queue] = list
	}
	how := list[0]
	how.given = true
	if how.refuse {
		return how, nil
	}
	rep, err := parseReply(how.body, req, n)
	if err != nil {
		r.origin.surprise = fmt.Errorf("the origin's answer to %s: %w", target, err)
		return nil, r.origin.surprise
	}
	rep.hang, rep.pause, rep.cut = how.hang, how.pause, how.cut
	if d := r.deps[target]; d != "" {
		rep.header.Add("Surrogate-Depends", d)
	}
	return rep, nil
}

// say queues an answer.
func (r *run) say(path string, rep reply) {
	r.origin.mu.Lock()
	defer r.origin.mu.Unlock()
	r.answers[path] = append(r.answers[path], &rep)
}

func (r *run) doOrigin(st *step) error {
	path := ""
	if len(st.args) > 1 {
		path = st.args[1]
	}
	rep := r.next
	rep.body = r.script.files[st.args[0]]
	r.next = reply{cut: -1}
	r.say(path, rep)
	return nil
}

func (r *run) doRefuse(st *step) error {
	path := ""
	if len(st.args) > 0 {
		path = st.args[0]
	}
	r.say(path, reply{refuse: true, hang: r.next.hang})
	r.next = reply{cut: -1}
	return nil
}

func (r *run) doHang(st *step) (err error) {
	r.next.hang, err = time.ParseDuration(st.args[0])
	return err
}

func (r *run) doWait(st *step) (err error) {
	r.next.pause, err = time.ParseDuration(st.args[0])
	return err
}

func (r *run) doCut(st *step) (err error) {
	r.next.cut, err = strconv.Atoi(st.args[0])
	return err
}

func (r *run) doLink(st *step) error {
	r.origin.mu.Lock()
	defer r.origin.mu.Unlock()
	r.deps[st.args[0]] = strings.Join(st.args[1:], " ")
	return nil
}

func (r *run) doConfig(st *step) error {
	return r.change(st.args[0], strings.Join(st.args[1:], " "))
}

func (r *run) doStore(st *step) error {
	r.store.broken.Store(st.args[0] == "broken")
	r.store.full.Store(st.args[0] == "full")
	if !slices.Contains([]string{"broken", "full", "mended"}, st.args[0]) {
		return errors.New("it is broken, full or mended")
	}
	return nil
}

// urlOf splits a path or URL as scenarios write it.
func urlOf(s string) (scheme, host, target string) {
	scheme, host, target = "http", shopHost, s
	if sch, rest, ok := strings.Cut(s, "://"); ok && (sch == "http" || sch == "https") {
		i := strings.IndexByte(rest+"/", '/')
		scheme, host, target = sch, rest[:i], rest[i:]
		if target == "" {
			target = "/"
		}
	}
	return scheme, host, target
}

func (r *run) ask(method string, args []string) (*visit, bool, error) {
	header, content, background, name, err := canonicalArgs(args[1:])
	if err != nil {
		return nil, false, err
	}
	scheme, host, target := urlOf(args[0])
	peer := r.peer
	if scheme == "https" {
		peer = inFront
	}
	v := send(r.t, r.public, method, scheme, host, target, header, content, peer)
	v.name = name
	return v, background, nil
}

func (r *run) doAsk(st *step) error {
	if err := r.unchecked(); err != nil {
		return err
	}
	method, args := strings.ToUpper(st.verb), st.args
	if st.verb == "request" {
		method, args = st.args[0], st.args[1:]
	}
	v, background, err := r.ask(method, args)
	if err != nil {
		return err
	}
	if background {
		r.background = append(r.background, v)
		r.about()
		return nil
	}
	<-v.done
	// What is left to do when the client has been answered, such as storing, is
	// done before the next step.
	synctest.Wait()
	r.about(v)
	return nil
}

func (r *run) about(vs ...*visit) { r.latest, r.broken = vs, false }

func (r *run) doCrowd(st *step) error {
	if err := r.unchecked(); err != nil {
		return err
	}
	n, err := strconv.Atoi(st.args[0])
	if err != nil {
		return err
	}
	for i := range n {
		args := make([]string, len(st.args)-2)
		for k, a := range st.args[2:] {
			args[k] = strings.ReplaceAll(a, "{i}", strconv.Itoa(i))
		}
		v, _, err := r.ask(strings.ToUpper(st.args[1]), args)
		if err != nil {
			return err
		}
		r.background = append(r.background, v)
	}
	r.about()
	return nil
}

func (r *run) doFrom(st *step) error { r.peer = st.args[0]; return nil }

func (r *run) named(name string) (*visit, error) {
	for _, v := range r.background {
		if v.name == name {
			return v, nil
		}
	}
	return nil, fmt.Errorf("no client in the background is called %q", name)
}

func (r *run) doJoin(st *step) error {
	waited := r.background
	if len(st.args) > 0 {
		v, err := r.named(st.args[0])
		if err != nil {
			return err
		}
		waited = []*visit{v}
	}
	if len(waited) == 0 {
		return errors.New("nobody is in the background")
	}
	for _, v := range waited {
		<-v.done
	}
	synctest.Wait()
	r.background = slices.DeleteFunc(slices.Clone(r.background), func(v *visit) bool { return slices.Contains(waited, v) })
	r.about(waited...)
	return nil
}

func (r *run) doLeave(st *step) error {
	v, err := r.named(st.args[0])
	if err != nil {
		return err
	}
	v.leave()
	synctest.Wait() // its handler may go on for others who wait
	r.background = slices.DeleteFunc(r.background, func(b *visit) bool { return b == v })
	return nil
}

func (r *run) doSleep(st *step) error {
	d, err := time.ParseDuration(st.args[0])
	if err != nil {
		return err
	}
	time.Sleep(d)
	synctest.Wait()
	return nil
}

func (r *run) doIdle(*step) error { synctest.Wait(); return nil }

func (r *run) doFetches(st *step) error {
	path := ""
	if len(st.args) > 1 {
		path = st.args[1]
	}
	want, err := strconv.Atoi(st.args[0])
	if err != nil {
		return err
	}
	if got := r.origin.fetches(path); got != want {
		return fmt.Errorf("fetches are %d", got)
	}
	return nil
}

func (r *run) doPeak(st *step) error {
	r.origin.mu.Lock()
	defer r.origin.mu.Unlock()
	if got := strconv.Itoa(r.origin.peak); got != st.args[0] {
		return fmt.Errorf("peak is %s", got)
	}
	return nil
}

func (r *run) doAsked(st *step) error {
	req, ok := r.origin.latest()
	if !ok {
		return errors.New("the origin was not asked anything")
	}
	if got := askedField(req, st.args[0]); got != st.args[1] {
		return fmt.Errorf("%s is %q", st.args[0], got)
	}
	return nil
}

func (r *run) doNotAsked(st *step) error {
	req, ok := r.origin.latest()
	if !ok {
		return errors.New("the origin was not asked anything")
	}
	if got := req.Header.Values(st.args[0]); got != nil {
		return fmt.Errorf("%s is %q", st.args[0], got)
	}
	return nil
}

func askedField(req *http.Request, name string) string {
	switch name {
	case ":method":
		return req.Method
	case ":path":
		return targetOf(req)
	case ":host":
		return req.Host
	}
	return strings.Join(req.Header.Values(name), ", ")
}
