package storetest

import "testing"

func runModel(t *testing.T, c Config) {}
