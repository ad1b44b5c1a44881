package main

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write metrics.txt anew")

// TestMetricsHelp keeps metrics.txt what the heads of the four metrics.go say.
func TestMetricsHelp(t *testing.T) {
	var b strings.Builder
	for _, file := range []string{"../../proxy/metrics.go", "../../purge/metrics.go", "../../warm/metrics.go", "metrics.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		begun := false
		for line := range strings.Lines(string(source)) {
			text, ok := strings.CutPrefix(line, "//\t")
			if !ok {
				continue
			}
			if name, sentence, ok := strings.Cut(strings.TrimSpace(text), "  "); ok && strings.HasPrefix(name, "surrogate_") {
				if begun {
					b.WriteString("\n")
				}
				name, _, _ = strings.Cut(name, "{")
				b.WriteString(name + "\t" + strings.TrimSpace(sentence))
				begun = true
			} else if begun {
				b.WriteString(" " + strings.TrimSpace(text))
			}
		}
		b.WriteString("\n")
	}
	if *update {
		writeFile(t, "metrics.txt", b.String())
	} else if b.String() != metricsHelp {
		t.Errorf("metrics.txt is old: go test ./cmd/surrogate -run MetricsHelp -update\n%s", b.String())
	}
}

// TestMetricsMetadata: every family has its type, and each of ours its sentence,
// once and before its values.
func TestMetricsMetadata(t *testing.T) {
	origin, _ := taggingOrigin(t)
	p := serveFor(t, origin)
	get(t, p.proxy+"/a?tag=red")
	typed, helped := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(get(t, p.admin+"/metrics").body) {
		words := strings.Fields(line)
		if strings.HasPrefix(line, "# HELP ") {
			helped[words[2]] = len(words) > 3
			continue
		}
		if strings.HasPrefix(line, "# TYPE ") {
			if typed[words[2]] != "" {
				t.Errorf("%s has two types", words[2])
			}
			typed[words[2]] = words[3]
			continue
		}
		name, _, _ := strings.Cut(words[0], "{")
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, part); ok && typed[base] != "" {
				name = base
			}
		}
		if typed[name] == "" || strings.HasPrefix(name, "surrogate_") && !helped[name] {
			t.Errorf("type %q, sentence %t: %s", typed[name], helped[name], line)
		}
		if isCounter := typed[name] == "counter"; strings.HasPrefix(name, "surrogate_") && isCounter != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, typed[name])
		}
	}
	if len(typed) < 40 {
		t.Errorf("only %d families", len(typed))
	}
}
