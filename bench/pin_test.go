package main

import (
	"os"
	"slices"
	"testing"
)

func TestPinnedForAsLongAsItRuns(t *testing.T) {
	if !has("taskset") {
		if os.Getenv("REQUIRE_JUDGES") != "" {
			t.Fatal("taskset is not installed")
		}
		t.Skip("taskset is not installed")
	}
	before, err := ownCores()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{client: listCores(before[len(before)-1:]), all: listCores(before)}
	if err := b.pinned(func() error {
		if got, err := ownCores(); err != nil || !slices.Equal(got, before[len(before)-1:]) {
			t.Errorf("it runs on %v, not on %s (%v)", got, b.client, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := ownCores(); err != nil || !slices.Equal(got, before) {
		t.Errorf("it runs on %v afterwards, not on %v (%v)", got, before, err)
	}
}
