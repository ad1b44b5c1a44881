package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"surrogate/store/redisstore/redistest"
)

// TestCompose checks what compose.yaml tells the program, and that surrogate
// works with a Redis that is started as it is there.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	choice := regexp.MustCompile(`\$\{\w+:[-?]([^}]*)\}`)
	cmd := programWith(t, "check", writeFile(t, "", ""))
	for _, m := range regexp.MustCompile(`(SURROGATE_\w+): ("[^"]*"|[^\s,}]*\$\{[^}]*\}|[^\s,}]+)`).FindAllStringSubmatch(string(text), -1) {
		value := strings.ReplaceAll(choice.ReplaceAllString(strings.Trim(m[2], `"`), "$1"), " ", "-")
		cmd.Env = append(cmd.Env, m[1]+"="+value)
	}
	if n := len(cmd.Env); n < 10 {
		t.Fatalf("found only %d variables: %q", n, cmd.Env)
	}
	p := launch(t, cmd)
	if code := p.ended(t); code != 0 {
		t.Errorf("%q: %s%s", cmd.Env, p.out, p.log)
	}

	line := regexp.MustCompile(`command: \[redis-server, (.*)\]`).FindStringSubmatch(string(text))
	if line == nil {
		t.Fatal("compose.yaml starts no redis-server")
	}
	var args []string
	for a := range strings.SplitSeq(line[1], ", ") {
		args = append(args, strings.Trim(a, `"`))
	}
	redis := redistest.StartTCP(t, args...)
	n := serveFor(t, "http://127.0.0.1:1", "--redis", redis.URL)
	f := &fleetOf3{T: t, nodes: [3]*process{n, n, n}}
	f.hearing(0)
}
