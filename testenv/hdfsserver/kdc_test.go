//go:build hdfs

package hdfsserver

import "testing"

// TestKerberos: the servers log in at the KDC and find each other.
func TestKerberos(t *testing.T) {
	k := RequireKDC(t, KDCOptions{})
	Require(t, Options{KDC: k})
}
