//go:build python

package ledger

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"omsync/openmldb/pb/typepb"
	"omsync/testenv/tabletsim"
)

func TestPyarrow(t *testing.T) {
	t.Parallel()
	const python = "../../build/venv/bin/python"
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("pyarrow is not installed: run scripts/setup.sh (%v)", err)
	}
	all := []tabletsim.Column{
		{Name: "s", Type: typepb.DataType_kString}, {Name: "i", Type: typepb.DataType_kBigInt}, {Name: "d", Type: typepb.DataType_kDouble},
		{Name: "t", Type: typepb.DataType_kTimestamp}, {Name: "day", Type: typepb.DataType_kDate}, {Name: "b", Type: typepb.DataType_kBool},
	}
	dir := t.TempDir()
	text := "\"a \"\"b\"\"\nc,\",9223372036854775807,0.1,2023-04-11 01:02:03.5,2023-04-11,true\n" + "\"\",,NaN,,,\n" + ",1,-0.0,2023-04-11T01:02:03Z,1900-01-01,false\n"
	if err := os.WriteFile(filepath.Join(dir, "g1-p2-1.csv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var a, b []uint64
	for r, err := range ReadPython(t.Context(), python, dir, ".csv", all, time.UTC) {
		if err != nil {
			t.Fatal(err)
		}
		if r.PID != 2 {
			t.Errorf("%+v", r)
		}
		a = append(a, hashValues(r.Values))
	}
	for r, err := range ReadCSV(dir, all, Standard, time.UTC) {
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, hashValues(r.Values))
	}
	if len(a) != 3 || !reflect.DeepEqual(a, b) {
		t.Errorf("pyarrow reads %v, ours %v", a, b)
	}
	if err := os.WriteFile(filepath.Join(dir, "g1-p2-2.csv"), []byte("a,b\n1,2,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := false
	for _, err := range ReadPython(t.Context(), python, dir, ".csv", all, time.UTC) {
		bad = bad || err != nil
	}
	if !bad {
		t.Error("a broken file passes")
	}
}
