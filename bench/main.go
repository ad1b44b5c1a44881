package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options are how much is measured.
type options struct {
	rounds      int           // of every row
	seconds     int           // of a server's turn at a row; wrk knows only whole ones
	connections int           // that wrk keeps busy
	only        []string      // stages; empty for all
	memory      int           // objects in the memory stage
	purges      []purgeSize   // what the purge stage purges
	fleet       int           // objects under the tag that is purged on three nodes
	fleetPurges int           // how often
	storm       time.Duration // of purges in a round, and of quiet before
	stormed     int           // objects under each tag of the storm
	clients     int           // at once on one cold key
	rush        rushSize
	rows        []row
	redisRows   []row
	settle      time.Duration // before memory is read: work in the background counts
	install     bool          // what is missing
	surrogate   string
	beside      string // another one, to be measured in turns with it and nobody else; empty for none
	profiles    string // directory for CPU profiles; empty for none
}

// stages are what can be named with -only, in order.
var stages = []struct {
	name, about string
	run         func(*bench, context.Context) error
}{
	{"requests", "CPU, throughput and latency of hits, 304s, misses and passes", (*bench).requests},
	{"redis", "hits that only Redis has", (*bench).redisHits},
	{"memory", "memory per object", (*bench).memoryPerObject},
	{"purge", "time of a purge by the objects under the tag", (*bench).purgeTimes},
	{"fleet", "time of a purge until it is in force on three nodes", (*bench).fleetPurges},
	{"storm", "hits while 100 purges a second fall", (*bench).purgeStorm},
	{"herd", "many clients at once on one key over three nodes", (*bench).herd},
	{"rewarm", "visitors who wait for the origin after a purge, with rewarming and without", (*bench).rewarming},
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	o := defaults()
	var only, row string
	quick := flag.Bool("quick", false, "a little of everything with what is installed, to see that it works")
	flag.IntVar(&o.rounds, "rounds", o.rounds, "`times` that each row is measured")
	flag.IntVar(&o.seconds, "seconds", o.seconds, "`length` of each measurement")
	flag.IntVar(&o.connections, "connections", o.connections, "connections that are kept busy")
	flag.IntVar(&o.memory, "objects", o.memory, "objects stored to see what memory one takes")
	flag.StringVar(&only, "only", "", "`stages`, of "+strings.Join(stageNames(), ","))
	flag.StringVar(&row, "row", "", "only the kinds of request that a `pattern` is found in, such as '^hit'")
	flag.StringVar(&o.surrogate, "surrogate", "", "a `program` to measure in place of ./cmd/surrogate")
	flag.StringVar(&o.beside, "beside", "", "another `program` to compare with, in turns and in place of all other servers")
	flag.StringVar(&o.profiles, "profiles", "", "`directory` for profiles of surrogate: of CPU for each kind of request, of the heap for memory, a trace of the storm")
	flag.Parse()
	if *quick {
		q := quickly()
		q.surrogate, q.profiles = o.surrogate, o.profiles
		o = q
	}
	match, err := regexp.Compile(row)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: -row:", err)
		os.Exit(2)
	}
	o.rows = rowsLike(o.rows, match)
	o.redisRows = rowsLike(o.redisRows, match)
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = run(ctx, o, os.Stdout, os.Stderr)
	if ctx.Err() != nil {
		err = errors.New("interrupted; everything is stopped")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// defaults take about seventeen minutes.
func defaults() options {
	return options{
		rounds: 5, seconds: 2, connections: 32, memory: 400_000,
		purges: []purgeSize{{1_000, 5}, {100_000, 2}, {1_000_000, 1}},
		fleet:  100_000, fleetPurges: 300,
		storm: 3 * time.Second, stormed: 100_000,
		rush:    rushSize{products: 2500, visited: 18_000, perSecond: 100, quiet: 3 * time.Second, after: 10 * time.Second},
		clients: 1000, rows: rows, redisRows: redisRows, settle: 3 * time.Second, install: true,
	}
}

// quickly takes some seconds and measures nothing worth printing.
func quickly() options {
	o := defaults()
	o.rounds, o.seconds, o.memory, o.clients = 1, 1, 2000, 50
	o.purges = []purgeSize{{10, 2}, {1000, 1}}
	o.fleet, o.fleetPurges = 1000, 5
	o.storm, o.stormed = 300*time.Millisecond, 500
	o.rush = rushSize{products: 250, visited: 500, perSecond: 100, quiet: 300 * time.Millisecond, after: time.Second}
	o.rows = []row{rows[hitRow], rows[missRow], rows[tlsRow], rows[http2Row]}
	o.redisRows = redisRows[:1]
	o.settle, o.install = 100*time.Millisecond, false
	return o
}

func stageNames() (names []string) {
	for _, s := range stages {
		names = append(names, s.name)
	}
	return names
}

// run measures, and writes the tables to out when all is done, what it does to
// progress. A stage that fails does not keep the others from being measured.
func run(ctx context.Context, o options, out, progress io.Writer) (err error) {
	for _, name := range o.only {
		if !slices.Contains(stageNames(), name) {
			return fmt.Errorf("there is no stage %q; there are %s", name, strings.Join(stageNames(), ", "))
		}
	}
	if o.rounds < 1 || o.seconds < 1 || o.connections < 1 || o.memory < 1 {
		return errors.New("rounds, seconds, connections and objects are at least 1")
	}
	b, err := prepare(ctx, o, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, s := range stages {
		if len(o.only) > 0 && !slices.Contains(o.only, s.name) {
			continue
		}
		b.say("%s: %s", s.name, s.about)
		if e := s.run(b, ctx); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, e), b.stopAll())
			if ctx.Err() != nil {
				return err
			}
			b.say("%s failed, which is told again at the end: %v", s.name, e)
		}
	}
	_, e := io.WriteString(out, b.page())
	return errors.Join(err, e)
}
