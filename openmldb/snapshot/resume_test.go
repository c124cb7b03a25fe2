package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/golang/snappy"

	"omsync/openmldb/pb/typepb"
)

// TestResume: a scan cut at any row, or at a key between rows, gives the same rows and hides as many; each row is found by Get. For every index of
// every fixture, with and without TTL.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, root := range []string{fixtures, fixtures7} {
		for _, p := range partitions(t, root) {
			if p.dir == "" {
				continue
			}
			t.Run(filepath.Base(root)+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				db := mustOpen(t, p.dir)
				for i, k := range p.meta.GetColumnKey() {
					ix := mustIndex(t, db, p.meta, i)
					if k.GetFlag() == 1 && db.families[ix.Family] == nil {
						continue // dropped, and its family is gone
					}
					for _, now := range []int64{0, fixtureNow} {
						checkResume(t, db, ix, now)
					}
				}
			})
		}
	}
}

func checkResume(t *testing.T, db *DB, ix Index, now int64) {
	t.Helper()
	all, expired := mustScan(t, db, ScanOptions{Index: ix, NowMs: now})
	if now == 0 && expired > 0 {
		t.Fatalf("%d rows hidden without a time", expired)
	}
	step := 1 + len(all)/40
	for i := 0; i < len(all); i += step {
		cut := []byte(all[i].key)
		tail, tailExpired := mustScan(t, db, ScanOptions{Index: ix, NowMs: now, After: cut})
		if !slices.Equal(tail, all[i+1:]) {
			t.Fatalf("%s after row %d: %d rows, want %d", ix.Family, i, len(tail), len(all)-i-1)
		}
		head, headExpired := mustScan(t, db, ScanOptions{Index: ix, NowMs: now, Before: cut})
		if !slices.Equal(head, all[:i]) || headExpired+tailExpired != expired {
			t.Fatalf("%s before row %d: %d rows, want %d; %d + %d expired, want %d", ix.Family, i, len(head), i, headExpired, tailExpired, expired)
		}
		between := append(bytes.Clone(prefixOf(cut)), 0, 0, 0, 0, 0, 0, 0, 0) // behind all versions of this pk but one with ts 0
		tail, _ = mustScan(t, db, ScanOptions{Index: ix, NowMs: now, After: between})
		if n := len(all) - len(tail); n <= i || !slices.Equal(tail, all[n:]) || n < len(all) && bytes.Equal(prefixOf([]byte(all[n].key)), prefixOf(cut)) {
			t.Fatalf("%s after the pk of row %d: %d rows", ix.Family, i, len(tail))
		}
		value, ok, err := db.Get(ix, []byte(all[i].pk), all[i].ts)
		if err != nil || !ok || string(value) != all[i].value {
			t.Fatalf("%s row %d: Get says %v, %v", ix.Family, i, ok, err)
		}
		if _, ok, err := db.Get(ix, append([]byte(all[i].pk), "no such"...), all[i].ts); ok || err != nil {
			t.Fatalf("%s row %d: Get finds a row that is not there, %v", ix.Family, i, err)
		}
	}
}

// TestOtherIndexes: the rows of every index were put into that index under that key, and where the log tells of nothing but puts of different rows
// before the snapshot, all of them are there.
func TestOtherIndexes(t *testing.T) {
	t.Parallel()
	// The others rewrite rows, delete, collect garbage, build indexes or have lost logs.
	whole := map[string]bool{"102_0": true, "102_1": true, "102_2": true, "102_3": true, "105_0": true, "109_0": true, "114_0": true, "115_0": true, "117_0": true}
	checked := 0
	for _, p := range partitions(t, fixtures) {
		if p.dir == "" || p.meta.GetCompressType() != typepb.CompressType_kNoCompress {
			continue
		}
		puts := putsOf(t, p)
		m, err := ReadManifest(OS(), filepath.Dir(p.dir))
		if err != nil {
			t.Fatal(err)
		}
		db := mustOpen(t, p.dir)
		for i := range p.meta.GetColumnKey() {
			ix := mustIndex(t, db, p.meta, i)
			if db.families[ix.Family] == nil {
				continue
			}
			rows, _ := mustScan(t, db, ScanOptions{Index: ix})
			there := map[string]bool{}
			for _, r := range rows {
				id := string([]byte{byte(i)}) + r.pk + "\x00" + sha8([]byte(r.value))
				there[id] = true
				if len(puts) > 0 && puts[id] == 0 && p.name != "110_0" && p.name != "110_1" && p.name[:3] != "112" { // index builds and lost logs
					t.Errorf("%s index %d: row %q %d was never put there", p.name, i, r.pk, r.ts)
				}
			}
			if !whole[p.name] {
				continue
			}
			checked++
			for id, index := range puts {
				if int(id[0]) == i && index <= m.GetOffset() && !there[id] {
					t.Errorf("%s index %d: the row put at %d is not there", p.name, i, index)
				}
			}
		}
	}
	if checked < 15 {
		t.Errorf("only %d indexes were compared with the log", checked)
	}
}

// putsOf gives the first log index of every (index, key, row) of the log.
func putsOf(t *testing.T, p partition) map[string]uint64 {
	t.Helper()
	f, err := os.Open(filepath.Join(fixtures, p.name, "expected_binlog.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]uint64{}
	for d := json.NewDecoder(f); d.More(); {
		var e struct {
			Offset uint64               `json:"offset"`
			Method string               `json:"method"`
			Dims   [][2]json.RawMessage `json:"dims"` // index, key
			Sha8   string               `json:"sha8"`
		}
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Method != "put" {
			continue
		}
		for _, dim := range e.Dims {
			var idx byte
			var key text
			if err := errors.Join(json.Unmarshal(dim[0], &idx), json.Unmarshal(dim[1], &key)); err != nil {
				t.Fatal(err)
			}
			id := string([]byte{idx}) + key.plain + "\x00" + e.Sha8
			if out[id] == 0 {
				out[id] = e.Offset
			}
		}
	}
	return out
}

// TestSnappyRows: values come as they are stored; those of a compressed table unpack.
func TestSnappyRows(t *testing.T) {
	t.Parallel()
	for _, p := range partitions(t, fixtures) {
		if p.dir == "" || p.meta.GetCompressType() != typepb.CompressType_kSnappy {
			continue
		}
		db := mustOpen(t, p.dir)
		rows, _ := mustScan(t, db, ScanOptions{Index: mustIndex(t, db, p.meta, 0)})
		for _, r := range rows {
			if b, err := snappy.Decode(nil, []byte(r.value)); err != nil || len(b) < 6 {
				t.Errorf("%s %q: %v", p.name, r.pk, err)
			}
		}
		return
	}
	t.Error("no fixture with compress_type kSnappy")
}
