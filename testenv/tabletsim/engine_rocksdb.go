//go:build rocksdb

package tabletsim

/*
#cgo LDFLAGS: -lrocksdb
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rocksdb/c.h"

// KeyTSComparator (formats.md §3.3): prefix ascending, then the last 8 bytes, a little-endian ts, descending.
static int key_ts_compare(void* s, const char* a, size_t alen, const char* b, size_t blen) {
	(void)s;
	size_t ap = alen < 8 ? 0 : alen - 8, bp = blen < 8 ? 0 : blen - 8;
	size_t n = ap < bp ? ap : bp;
	int c = n ? memcmp(a, b, n) : 0;
	if (c) return c;
	if (ap != bp) return ap < bp ? -1 : 1;
	uint64_t at = 0, bt = 0;
	if (alen >= 8) memcpy(&at, a + ap, 8);
	if (blen >= 8) memcpy(&bt, b + bp, 8);
	return at > bt ? -1 : at < bt ? 1 : 0;
}
static const char* key_ts_name(void* s) { (void)s; return "KeyTSComparator"; }
static void nothing(void* s) { (void)s; }
static rocksdb_comparator_t* key_ts_comparator() { return rocksdb_comparator_create(NULL, nothing, key_ts_compare, key_ts_name); }

static char* prefix_of(void* s, const char* k, size_t n, size_t* out) { (void)s; *out = n < 8 ? 0 : n - 8; return (char*)k; }
static unsigned char in_domain(void* s, const char* k, size_t n) { (void)s; (void)k; return n > 8; }
static unsigned char in_range(void* s, const char* k, size_t n) { (void)s; (void)k; (void)n; return 1; }
static const char* prefix_name(void* s) { (void)s; return "KeyTsPrefixTransform"; }
static rocksdb_slicetransform_t* key_ts_prefix() { return rocksdb_slicetransform_create(NULL, nothing, prefix_of, in_domain, in_range, prefix_name); }
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"
)

// RocksEngine keeps data/ in RocksDB with the options of formats.md §3.3.
type RocksEngine struct{}

// DefaultEngine of this build.
func DefaultEngine() Engine { return RocksEngine{} }

// Writes is true.
func (RocksEngine) Writes() bool { return true }

type rocks struct {
	db   *C.rocksdb_t
	wo   *C.rocksdb_writeoptions_t
	ro   *C.rocksdb_readoptions_t
	opts []*C.rocksdb_options_t
	cmp  *C.rocksdb_comparator_t
	hdd  bool

	mu  sync.RWMutex
	cfs map[string]*C.rocksdb_column_family_handle_t
}

func take(e *C.char) error {
	if e == nil {
		return nil
	}
	defer C.rocksdb_free(unsafe.Pointer(e))
	return errors.New(C.GoString(e))
}

func dbOptions() *C.rocksdb_options_t {
	o := C.rocksdb_options_create()
	C.rocksdb_options_set_create_if_missing(o, 1)
	C.rocksdb_options_set_create_missing_column_families(o, 1)
	C.rocksdb_options_set_keep_log_file_num(o, 5)
	C.rocksdb_options_set_compression(o, C.rocksdb_no_compression)
	return o
}

func familyOptions(cmp *C.rocksdb_comparator_t, hdd bool) *C.rocksdb_options_t {
	o := dbOptions()
	C.rocksdb_options_set_comparator(o, cmp)
	C.rocksdb_options_set_prefix_extractor(o, C.key_ts_prefix())
	if hdd {
		C.rocksdb_options_set_write_buffer_size(o, 256<<20)
		C.rocksdb_options_set_level0_file_num_compaction_trigger(o, 10)
		C.rocksdb_options_set_level0_slowdown_writes_trigger(o, 20)
		C.rocksdb_options_set_level0_stop_writes_trigger(o, 40)
		C.rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1)
		C.rocksdb_options_set_optimize_filters_for_hits(o, 1)
	} else {
		C.rocksdb_options_set_write_buffer_size(o, 128<<20)
		C.rocksdb_options_set_level0_file_num_compaction_trigger(o, 16)
	}
	t := C.rocksdb_block_based_options_create()
	C.rocksdb_block_based_options_set_block_size(t, 256<<10)
	C.rocksdb_block_based_options_set_use_delta_encoding(t, 0)
	C.rocksdb_block_based_options_set_whole_key_filtering(t, 0)
	C.rocksdb_block_based_options_set_format_version(t, 5)
	C.rocksdb_block_based_options_set_checksum(t, 1) // kCRC32c
	C.rocksdb_options_set_block_based_table_factory(o, t)
	C.rocksdb_block_based_options_destroy(t)
	return o
}

// Open opens dir with all column families that are there or asked for.
func (RocksEngine) Open(dir string, families []string, hdd bool) (Store, error) {
	r := &rocks{cmp: C.key_ts_comparator(), hdd: hdd, cfs: map[string]*C.rocksdb_column_family_handle_t{}}
	names := existing(dir, families)
	base := dbOptions()
	r.opts = append(r.opts, base)
	cnames := make([]*C.char, len(names))
	copts := make([]*C.rocksdb_options_t, len(names))
	handles := make([]*C.rocksdb_column_family_handle_t, len(names))
	for i, n := range names {
		cnames[i] = C.CString(n)
		defer C.free(unsafe.Pointer(cnames[i]))
		copts[i] = base
		if n != "default" {
			copts[i] = familyOptions(r.cmp, hdd)
			r.opts = append(r.opts, copts[i])
		}
	}
	cdir := C.CString(dir)
	defer C.free(unsafe.Pointer(cdir))
	var e *C.char
	r.db = C.rocksdb_open_column_families(base, cdir, C.int(len(names)), &cnames[0], &copts[0], &handles[0], &e)
	if err := take(e); err != nil {
		return nil, fmt.Errorf("open RocksDB %s: %w", dir, err)
	}
	for i, n := range names {
		r.cfs[n] = handles[i]
	}
	r.wo = C.rocksdb_writeoptions_create()
	C.rocksdb_writeoptions_disable_WAL(r.wo, 1)
	r.ro = C.rocksdb_readoptions_create()
	C.rocksdb_readoptions_set_total_order_seek(r.ro, 1)
	return r, nil
}

// existing lists default, the families on disk and those asked for.
func existing(dir string, families []string) []string {
	names := []string{"default"}
	cdir := C.CString(dir)
	defer C.free(unsafe.Pointer(cdir))
	o := C.rocksdb_options_create()
	defer C.rocksdb_options_destroy(o)
	var (
		n C.size_t
		e *C.char
	)
	list := C.rocksdb_list_column_families(o, cdir, &n, &e)
	if take(e) == nil { // a new database has none
		for _, c := range unsafe.Slice(list, int(n)) {
			families = append([]string{C.GoString(c)}, families...)
		}
		C.rocksdb_list_column_families_destroy(list, n)
	}
	seen := map[string]bool{"default": true}
	for _, f := range families {
		if !seen[f] {
			seen[f] = true
			names = append(names, f)
		}
	}
	return names
}

func (r *rocks) family(name string) (*C.rocksdb_column_family_handle_t, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	h, ok := r.cfs[name]
	if !ok {
		return nil, fmt.Errorf("RocksDB has no column family %s", name)
	}
	return h, nil
}

func bytesOf(b []byte) (*C.char, C.size_t) {
	if len(b) == 0 {
		return nil, 0
	}
	return (*C.char)(unsafe.Pointer(&b[0])), C.size_t(len(b))
}

func (r *rocks) Put(kvs []KV) error {
	b := C.rocksdb_writebatch_create()
	defer C.rocksdb_writebatch_destroy(b)
	for _, kv := range kvs {
		h, err := r.family(kv.Family)
		if err != nil {
			return err
		}
		k, kn := bytesOf(kv.Key)
		v, vn := bytesOf(kv.Value)
		C.rocksdb_writebatch_put_cf(b, h, k, kn, v, vn)
	}
	var e *C.char
	C.rocksdb_write(r.db, r.wo, b, &e)
	return take(e)
}

func (r *rocks) DeleteRange(family string, start, end []byte) error {
	h, err := r.family(family)
	if err != nil {
		return err
	}
	s, sn := bytesOf(start)
	t, tn := bytesOf(end)
	var e *C.char
	C.rocksdb_delete_range_cf(r.db, r.wo, h, s, sn, t, tn, &e)
	return take(e)
}

func (r *rocks) AddFamily(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cfs[name] != nil {
		return nil
	}
	o := familyOptions(r.cmp, r.hdd)
	r.opts = append(r.opts, o)
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	var e *C.char
	h := C.rocksdb_create_column_family(r.db, o, c, &e)
	if err := take(e); err != nil {
		return fmt.Errorf("add column family %s: %w", name, err)
	}
	r.cfs[name] = h
	return nil
}

func (r *rocks) Scan(family string, f func(key, value []byte) bool) error {
	h, err := r.family(family)
	if err != nil {
		return err
	}
	it := C.rocksdb_create_iterator_cf(r.db, r.ro, h)
	defer C.rocksdb_iter_destroy(it)
	for C.rocksdb_iter_seek_to_first(it); C.rocksdb_iter_valid(it) != 0; C.rocksdb_iter_next(it) {
		var kn, vn C.size_t
		k := C.rocksdb_iter_key(it, &kn)
		v := C.rocksdb_iter_value(it, &vn)
		if !f(C.GoBytes(unsafe.Pointer(k), C.int(kn)), C.GoBytes(unsafe.Pointer(v), C.int(vn))) {
			break
		}
	}
	var e *C.char
	C.rocksdb_iter_get_error(it, &e)
	return take(e)
}

func (r *rocks) Keys(family string) uint64 {
	h, err := r.family(family)
	if err != nil {
		return 0
	}
	p := C.CString("rocksdb.estimate-num-keys")
	defer C.free(unsafe.Pointer(p))
	var n C.uint64_t
	if C.rocksdb_property_int_cf(r.db, h, p, &n) != 0 {
		return 0
	}
	return uint64(n)
}

func (r *rocks) Checkpoint(dir string) error {
	var e *C.char
	c := C.rocksdb_checkpoint_object_create(r.db, &e)
	if err := take(e); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	defer C.rocksdb_checkpoint_object_destroy(c)
	d := C.CString(dir)
	defer C.free(unsafe.Pointer(d))
	C.rocksdb_checkpoint_create(c, d, 0, &e)
	if err := take(e); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

func (r *rocks) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.cfs {
		C.rocksdb_column_family_handle_destroy(h)
	}
	r.cfs = nil
	C.rocksdb_close(r.db)
	for _, o := range r.opts {
		C.rocksdb_options_destroy(o)
	}
	C.rocksdb_comparator_destroy(r.cmp)
	C.rocksdb_writeoptions_destroy(r.wo)
	C.rocksdb_readoptions_destroy(r.ro)
	runtime.KeepAlive(r)
	return nil
}
