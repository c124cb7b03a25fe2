package dest

import (
	"encoding/json"
	"math"
	"testing"
)

// TestAppendDelete: the lines are those that docs/operating.md describes.
func TestAppendDelete(t *testing.T) {
	t.Parallel()
	at, most := uint64(1764200000000), uint64(math.MaxUint64)
	for _, c := range []struct {
		name string
		d    Delete
		want string
	}{
		{"a key", Delete{Index: 7, Term: 2, Key: []byte("a|1"), TimeMs: 9}, `{"log_index":7,"term":2,"key":"a|1","start_ts":null,"end_ts":0,"time":9}`},
		{"a range of a key", Delete{Index: 8, Key: []byte("k"), Start: &at, End: 5}, `{"log_index":8,"term":0,"key":"k","start_ts":1764200000000,"end_ts":5,"time":0}`},
		{"every key", Delete{Index: math.MaxUint64, Term: 1, End: 5}, `{"log_index":18446744073709551615,"term":1,"key":null,"start_ts":null,"end_ts":5,"time":0}`},
		{"no bound, said", Delete{Index: 1, Start: &most}, `{"log_index":1,"term":0,"key":null,"start_ts":null,"end_ts":0,"time":0}`},
		{"ts 0", Delete{Index: 1, Start: new(uint64)}, `{"log_index":1,"term":0,"key":null,"start_ts":0,"end_ts":0,"time":0}`},
		{"the empty key", Delete{Index: 1, Key: []byte{}}, `{"log_index":1,"term":0,"key":"","start_ts":null,"end_ts":0,"time":0}`},
		{"no UTF-8", Delete{Index: 1, Key: []byte("a\xff\n")}, `{"log_index":1,"term":0,"key_hex":"61ff0a","start_ts":null,"end_ts":0,"time":0}`},
		{"what JSON escapes", Delete{Index: 1, Key: []byte("\"\n王")}, `{"log_index":1,"term":0,"key":"\"\n王","start_ts":null,"end_ts":0,"time":0}`},
	} {
		got, err := AppendDelete([]byte("x\n"), &c.d)
		if err != nil || string(got) != "x\n"+c.want+"\n" || !json.Valid(got[2:]) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
}
