//go:build hdfs

package hdfsserver

import (
	"testing"
	"time"
)

// TestNodesComeAndGo: a DataNode that is killed is missed in time and comes back; a NameNode keeps what it knew over a restart.
func TestNodesComeAndGo(t *testing.T) {
	c := Require(t, Options{DataNodes: 2, DeadAfter: 11 * time.Second})
	if err := c.DataNodes[1].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := c.Return(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := c.NameNodes[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.NameNodes[0].Up(); err != nil {
		t.Fatal(err)
	}
	if err := c.Await(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
}
