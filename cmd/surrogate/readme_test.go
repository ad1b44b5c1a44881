package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme runs the shell blocks of the README in front of the demo, each line
// as it stands but for the ports, and checks its TOML block. What begins or
// builds something is in indented blocks, and not run.
func TestReadme(t *testing.T) {
	needPrograms(t, "curl", "sh")
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, programWith(t, "demo"))
	m := p.out.await(t, `(?s)shop  on http://(\S+),.*proxy on http://(\S+),.*admin on http://(\S+)\n`)
	ports := strings.NewReplacer("127.0.0.1:3000", m[1], "127.0.0.1:8080", m[2], "127.0.0.1:8081", m[3])
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, block := range fenced(string(text), "sh") {
		for line := range strings.Lines(block) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			cmd := exec.Command("sh", "-c", ports.Replace(line))
			cmd.Env = []string{"PATH=" + filepath.Dir(path) + ":" + os.Getenv("PATH"), "SURROGATE_ADMIN=" + m[3], quickExit}
			out, err := cmd.CombinedOutput()
			if err != nil || len(out) == 0 || strings.Contains(string(out), `"title":`) || strings.Contains(string(out), `"error"`) {
				t.Errorf("%s\n%v\n%s", line, err, out)
			}
			ran++
		}
	}
	if ran < 15 {
		t.Errorf("found only %d commands", ran)
	}
	for _, block := range fenced(string(text), "toml") {
		if code, out, errs := said(t, "check", writeFile(t, "", block)); code != 0 {
			t.Errorf("%s\n%s%s", block, out, errs)
		}
	}
}

// fenced returns the blocks in a language.
func fenced(text, language string) (blocks []string) {
	for _, rest := range strings.Split(text, "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(rest, "\n```")
		blocks = append(blocks, block)
	}
	return blocks
}
