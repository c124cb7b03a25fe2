package load_test

import (
	"testing"

	"omsync/testenv/memzk"
)

func zooKeeper(t testing.TB) string {
	t.Helper()
	s, err := memzk.Start(memzk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}
