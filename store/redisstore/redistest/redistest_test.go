package redistest_test

import (
	"testing"

	"surrogate/store/redisstore/redistest"
)

func TestARestartKeepsWhatWasSaved(t *testing.T) {
	s := redistest.Start(t)
	s.Do("SET", "a", "1")
	s.Save()
	s.Do("SET", "a", "2")
	s.RestartSaved()
	if v := s.Do("GET", "a"); v != "1" {
		t.Errorf("a is %v", v)
	}
	s.RestartEmpty()
	if v := s.Do("DBSIZE"); v != int64(0) {
		t.Errorf("%v keys", v)
	}
}

func TestClusterAndSentinelStart(t *testing.T) {
	if testing.Short() {
		t.Skip("starts ten servers")
	}
	redistest.StartCluster(t)
	redistest.StartSentinel(t)
}
