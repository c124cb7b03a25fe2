package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/typepb"
)

const (
	fixtures  = "../../testdata/disk"          // RocksDB 6.27.3
	fixtures7 = "../../testdata/disk_rocksdb7" // the same data on 7.8.3
)

// fixtureNow lies between the rows that have always expired (2020) and those that have not for long (2100).
var fixtureNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).UnixMilli()

// partition is a fixture with its meta data.
type partition struct {
	name string
	dir  string // of the checkpoint, "" if there is none
	meta *apipb.TableMeta
}

// partitions lists the fixtures; the meta data of disk_rocksdb7 are those of disk.
func partitions(t testing.TB, root string) []partition {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(root, "*_*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no fixtures in %s", root)
	}
	var out []partition
	for _, dir := range dirs {
		p := partition{name: filepath.Base(dir), meta: &apipb.TableMeta{}}
		b, err := os.ReadFile(filepath.Join(fixtures, p.name, "table_meta.pb"))
		if err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(b, p.meta); err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(OS(), filepath.Join(dir, "snapshot"))
		switch {
		case errors.Is(err, ErrNoManifest):
		case err != nil:
			t.Fatal(err)
		default:
			p.dir = filepath.Join(dir, "snapshot", m.GetName())
		}
		out = append(out, p)
	}
	return out
}

// line is one line of expected_snapshot.jsonl.
type line struct {
	PK   text   `json:"pk"`
	Ts   uint64 `json:"ts,string"`
	Len  int    `json:"len"`
	Sha8 string `json:"sha8"`
}

// text is a string, or {"hex"} where it is not UTF-8, or {"len","sha256"} where it is long.
type text struct{ plain, sum string }

func (x *text) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &x.plain)
	}
	var o struct {
		Hex    *string `json:"hex"`
		Sha256 string  `json:"sha256"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	if o.Hex == nil {
		x.sum = o.Sha256
		return nil
	}
	h, err := hex.DecodeString(*o.Hex)
	x.plain = string(h)
	return err
}

func (x text) is(pk []byte) bool {
	if x.sum != "" {
		h := sha256.Sum256(pk)
		return hex.EncodeToString(h[:]) == x.sum
	}
	return x.plain == string(pk)
}

func expected(t testing.TB, name string) []line {
	t.Helper()
	f, err := os.Open(filepath.Join(fixtures, name, "expected_snapshot.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []line
	for d := json.NewDecoder(f); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

func sha8(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}

// row is what a scan gives.
type row struct {
	key, value string
	pk         string
	ts, seq    uint64
}

// scan reads all rows of o.
func scan(db *DB, o ScanOptions) (rows []row, expired uint64, err error) {
	it, err := db.Scan(o)
	if err != nil {
		return nil, 0, err
	}
	for it.Next() {
		rows = append(rows, row{string(it.Key()), string(it.Value()), string(it.PK()), it.Ts(), it.Seq()})
	}
	if err := it.Err(); err != nil {
		return rows, it.Expired(), err
	}
	return rows, it.Expired(), it.Close()
}

func mustScan(t testing.TB, db *DB, o ScanOptions) ([]row, uint64) {
	t.Helper()
	rows, expired, err := scan(db, o)
	if err != nil {
		t.Fatal(err)
	}
	return rows, expired
}

func mustOpen(t testing.TB, dir string) *DB {
	t.Helper()
	db, err := Open(OS(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func mustIndex(t testing.TB, db *DB, meta *apipb.TableMeta, i int) Index {
	t.Helper()
	ix, err := IndexOf(meta, i)
	if err != nil {
		t.Fatal(err)
	}
	if here, err := db.IndexOf(meta, i); err != nil || fmt.Sprint(here.Family, here.TsColID == nil, here.TTL) != fmt.Sprint(ix.Family, ix.TsColID == nil, ix.TTL) {
		t.Fatalf("index %d: %+v in this snapshot, else %+v, %v", i, here, ix, err)
	}
	return ix
}

// TestExpectedRows: index 0 of every fixture holds what upstream's collector reads from it, in its order.
func TestExpectedRows(t *testing.T) {
	t.Parallel()
	for root, count := range map[string]int{fixtures: 31, fixtures7: 4} {
		all := partitions(t, root)
		if len(all) != count {
			t.Errorf("%s holds %d partitions, want %d", root, len(all), count)
		}
		for _, p := range all {
			t.Run(filepath.Base(root)+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				want := expected(t, p.name)
				if p.dir == "" {
					if len(want) > 0 {
						t.Fatalf("%d rows expected, there is no snapshot", len(want))
					}
					return
				}
				db := mustOpen(t, p.dir)
				ix := mustIndex(t, db, p.meta, 0)
				rows, _ := mustScan(t, db, ScanOptions{Index: ix, NowMs: fixtureNow})
				for i := range min(len(rows), len(want)) {
					got, w := rows[i], want[i]
					v := []byte(got.value)
					if p.meta.GetCompressType() == typepb.CompressType_kSnappy {
						var err error
						if v, err = snappy.Decode(nil, v); err != nil {
							t.Fatal(err)
						}
					}
					if !w.PK.is([]byte(got.pk)) || got.ts != w.Ts || len(v) != w.Len || sha8(v) != w.Sha8 {
						t.Fatalf("row %d: %q %d, %d bytes %s; want %+v", i, got.pk, got.ts, len(v), sha8(v), w)
					}
				}
				if len(rows) != len(want) {
					t.Fatalf("%d rows, want %d", len(rows), len(want))
				}
			})
		}
	}
}
