package purge

import (
	"os"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

func TestEveryMetricIsInTheTable(t *testing.T) {
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(source), "type counts struct")
	set := metrics.NewSet()
	New(Options{Metrics: set})
	for _, name := range set.ListMetricNames() {
		name, _, _ = strings.Cut(name, "{")
		if !strings.Contains(table, "//\t"+name) {
			t.Errorf("%s is not in the table", name)
		}
	}
}
