//go:build rocksdb

package rocks

/*
#include "keyts.h"
*/
import "C"

import "unsafe"

// Scan gives the rows of a family from key from on (nil: the first), as RocksDB's own iterator does, until f says false.
func (d *DB) Scan(family string, from []byte, f func(key, value []byte) bool) error {
	it := d.seek(family, from)
	defer C.rocksdb_iter_destroy(it)
	for ; C.rocksdb_iter_valid(it) != 0; C.rocksdb_iter_next(it) {
		var kn, vn C.size_t
		k := C.rocksdb_iter_key(it, &kn)
		v := C.rocksdb_iter_value(it, &vn)
		if !f(C.GoBytes(unsafe.Pointer(k), C.int(kn)), C.GoBytes(unsafe.Pointer(v), C.int(vn))) {
			break
		}
	}
	var e *C.char
	C.rocksdb_iter_get_error(it, &e)
	return wrap("scan", e)
}

// Walk reads all rows of a family without leaving C: the speed of RocksDB's iterator itself.
func (d *DB) Walk(family string) (rows, bytes uint64, err error) {
	it := d.seek(family, nil)
	defer C.rocksdb_iter_destroy(it)
	var sum C.uint64_t
	n := C.rocks_walk(it, &sum)
	var e *C.char
	C.rocksdb_iter_get_error(it, &e)
	return uint64(n), uint64(sum), wrap("scan", e)
}

func (d *DB) seek(family string, from []byte) *C.rocksdb_iterator_t {
	it := C.rocksdb_create_iterator_cf(d.db, d.ro, d.family(family))
	if from == nil {
		C.rocksdb_iter_seek_to_first(it)
	} else {
		k, n := slice(from)
		C.rocksdb_iter_seek(it, k, n)
	}
	return it
}

// Get looks up a key.
func (d *DB) Get(family string, key []byte) (value []byte, ok bool, err error) {
	k, kn := slice(key)
	var vn C.size_t
	var e *C.char
	v := C.rocksdb_get_cf(d.db, d.ro, d.family(family), k, kn, &vn, &e)
	if err := wrap("get", e); err != nil || v == nil {
		return nil, false, err
	}
	defer C.rocksdb_free(unsafe.Pointer(v))
	return C.GoBytes(unsafe.Pointer(v), C.int(vn)), true, nil
}

// Levels gives the number of files of each level of a family.
func (d *DB) Levels(family string) []int {
	var out []int
	for _, level := range []string{"0", "1", "2", "3", "4", "5", "6"} {
		p := C.CString("rocksdb.num-files-at-level" + level)
		v := C.rocksdb_property_value_cf(d.db, d.family(family), p)
		C.free(unsafe.Pointer(p))
		n := 0
		for _, c := range C.GoString(v) {
			n = n*10 + int(c-'0')
		}
		C.rocksdb_free(unsafe.Pointer(v))
		out = append(out, n)
	}
	return out
}
