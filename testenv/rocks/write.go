//go:build rocksdb

package rocks

/*
#include "keyts.h"
*/
import "C"

import (
	"encoding/binary"
	"os"
	"unsafe"
)

// KV is one row.
type KV struct{ Key, Value []byte }

// Put writes one row.
func (d *DB) Put(family string, key, value []byte) error {
	k, kn := slice(key)
	v, vn := slice(value)
	var e *C.char
	C.rocksdb_put_cf(d.db, d.wo, d.family(family), k, kn, v, vn, &e)
	return wrap("put", e)
}

// PutAll writes rows in one batch.
func (d *DB) PutAll(family string, rows []KV) error {
	b := C.rocksdb_writebatch_create()
	defer C.rocksdb_writebatch_destroy(b)
	h := d.family(family)
	for _, r := range rows {
		k, kn := slice(r.Key)
		v, vn := slice(r.Value)
		C.rocksdb_writebatch_put_cf(b, h, k, kn, v, vn)
	}
	var e *C.char
	C.rocksdb_write(d.db, d.wo, b, &e)
	return wrap("put", e)
}

// Delete deletes one key.
func (d *DB) Delete(family string, key []byte) error {
	k, kn := slice(key)
	var e *C.char
	C.rocksdb_delete_cf(d.db, d.wo, d.family(family), k, kn, &e)
	return wrap("delete", e)
}

// SingleDelete deletes a key that was put at most once since its last deletion.
func (d *DB) SingleDelete(family string, key []byte) error {
	k, kn := slice(key)
	var e *C.char
	C.rocksdb_singledelete_cf(d.db, d.wo, d.family(family), k, kn, &e)
	return wrap("single delete", e)
}

// DeleteRange deletes [start, end).
func (d *DB) DeleteRange(family string, start, end []byte) error {
	s, sn := slice(start)
	t, tn := slice(end)
	var e *C.char
	C.rocksdb_delete_range_cf(d.db, d.wo, d.family(family), s, sn, t, tn, &e)
	return wrap("delete range", e)
}

// Add merges a number into a row of 8 bytes, which leaves a merge operand in the files.
func (d *DB) Add(family string, key []byte, n uint64) error {
	k, kn := slice(key)
	v, vn := slice(binary.LittleEndian.AppendUint64(nil, n))
	var e *C.char
	C.rocksdb_merge_cf(d.db, d.wo, d.family(family), k, kn, v, vn, &e)
	return wrap("merge", e)
}

// Ingest adds rows, sorted and without repetition, as a file of their own made at path.
func (d *DB) Ingest(family, path string, rows []KV) error {
	env := C.rocksdb_envoptions_create()
	defer C.rocksdb_envoptions_destroy(env)
	opts := d.o.family(d.cmp)
	defer C.rocksdb_options_destroy(opts)
	w := C.rocksdb_sstfilewriter_create(env, opts)
	defer C.rocksdb_sstfilewriter_destroy(w)
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	var e *C.char
	C.rocksdb_sstfilewriter_open(w, p, &e)
	for i := 0; e == nil && i < len(rows); i++ {
		k, kn := slice(rows[i].Key)
		v, vn := slice(rows[i].Value)
		C.rocksdb_sstfilewriter_put(w, k, kn, v, vn, &e)
	}
	if e == nil {
		C.rocksdb_sstfilewriter_finish(w, &e)
	}
	if err := wrap("write a file to ingest", e); err != nil {
		return err
	}
	io := C.rocksdb_ingestexternalfileoptions_create()
	defer C.rocksdb_ingestexternalfileoptions_destroy(io)
	C.rocksdb_ingest_external_file_cf(d.db, d.family(family), &p, 1, io, &e)
	if err := wrap("ingest", e); err != nil {
		return err
	}
	return os.Remove(path)
}

// Flush writes the memtable of a family into a file of level 0.
func (d *DB) Flush(family string) error {
	o := C.rocksdb_flushoptions_create()
	defer C.rocksdb_flushoptions_destroy(o)
	var e *C.char
	C.rocksdb_flush_cf(d.db, o, d.family(family), &e)
	return wrap("flush", e)
}

// Compact compacts the files over [start, end) of a family down; nil is no limit.
func (d *DB) Compact(family string, start, end []byte) {
	s, sn := slice(start)
	t, tn := slice(end)
	C.rocksdb_compact_range_cf(d.db, d.family(family), s, sn, t, tn)
}

// Hold keeps every version that is there now in the files until Release.
func (d *DB) Hold() { d.held = append(d.held, C.rocksdb_create_snapshot(d.db)) }

// Release lets all held versions go.
func (d *DB) Release() {
	for _, s := range d.held {
		C.rocksdb_release_snapshot(d.db, s)
	}
	d.held = nil
}
