//go:build hdfs

package hdfs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"omsync/daemon/dest/hadoop"
	"omsync/testenv/hdfsserver"
)

// eventually repeats do, as the synctool would.
func eventually(t *testing.T, do func() error) (errs []error) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		err := do()
		if err == nil {
			return errs
		}
		errs = append(errs, err)
		if time.Now().After(end) {
			t.Fatalf("still: %v", err)
		}
		time.Sleep(50 * time.Millisecond) // the pace of the retries; nothing is waited for
	}
}

// TestFailover: the other NameNode is found when the active one is handed over, hangs or dies; over each transport, under the nameservice's name.
func TestFailover(t *testing.T) {
	c := hdfsserver.Require(t, hdfsserver.Options{HA: true})
	conf, err := hadoop.Load(c.ConfDir())
	must(t, err)
	all := append(transports, Auto)
	var dirs []*Dir
	for _, tr := range all {
		cs := clusters(t, c, Options{Transport: tr})
		d := openAt(t, cs, "/"+string(tr))
		if want := "hdfs://ns1/" + string(tr); d.String() != want {
			t.Errorf("%s, want %s", d, want)
		}
		for _, spelled := range []string{"ns1", "NS1", c.Address(0), c.Address(1)} {
			if name, err := cs.Canonical(spelled); err != nil || name != "ns1" {
				t.Errorf("%s is %q, %v", spelled, name, err)
			}
		}
		if _, err := cs.Canonical("ns1:8020"); err == nil || !strings.Contains(err.Error(), "no port") {
			t.Errorf("a nameservice with a port: %v", err)
		}
		dirs = append(dirs, d)
	}
	if s, err := conf.Service("ns1"); err != nil || len(s.NameNodes) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	n := 0
	writes := func(when string) {
		t.Helper()
		for i, d := range dirs {
			errs := eventually(t, func() error {
				n++
				return put(t.Context(), d, fmt.Sprintf("f%d", n), pattern(100))
			})
			t.Logf("%s, %s: %d failures %v", when, all[i], len(errs), errs)
			mustHold(t, d, fmt.Sprintf("f%d", n), pattern(100))
		}
	}
	writes("at first")
	must(t, c.Activate(t.Context(), 1))
	writes("handed over")
	must(t, c.NameNodes[1].Freeze())
	t.Cleanup(func() {
		if c.NameNodes[1].Running() {
			must(t, c.NameNodes[1].Thaw())
		}
	})
	must(t, c.Activate(t.Context(), 0))
	writes("the active one hangs")
	must(t, c.NameNodes[1].Kill())
	writes("the standby is gone")
	if err := c.Demote(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if _, err := d.Stat(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "NameNode") {
			t.Errorf("none is active: %v", err)
		}
	}
}
