//go:build rocksdb

package rocks

/*
#include "keyts.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// DB is an open database. The write-ahead log is off, as on a tablet. It is not for use by several goroutines at once.
type DB struct {
	db       *C.rocksdb_t
	cmp      *C.rocksdb_comparator_t
	wo       *C.rocksdb_writeoptions_t
	ro       *C.rocksdb_readoptions_t
	opts     []*C.rocksdb_options_t // the first is the database's
	families map[string]*C.rocksdb_column_family_handle_t
	held     []*C.rocksdb_snapshot_t
	o        Options
}

// Open makes a database in dir, which must be empty, with the default family (bytewise) and those given (KeyTSComparator).
func Open(dir string, families []string, o Options) (*DB, error) {
	if o.BlockSize == 0 || o.FileSize == 0 {
		return nil, errors.New("open RocksDB: the options are empty, start from Tablet()")
	}
	d := &DB{cmp: C.rocks_key_ts_comparator(), wo: C.rocksdb_writeoptions_create(), ro: C.rocksdb_readoptions_create(),
		families: map[string]*C.rocksdb_column_family_handle_t{}, o: o}
	C.rocksdb_writeoptions_disable_WAL(d.wo, 1)
	C.rocksdb_readoptions_set_total_order_seek(d.ro, 1)
	names := append([]string{"default"}, families...)
	cnames := make([]*C.char, len(names))
	copts := make([]*C.rocksdb_options_t, len(names))
	handles := make([]*C.rocksdb_column_family_handle_t, len(names))
	for i, n := range names {
		cnames[i] = C.CString(n)
		defer C.free(unsafe.Pointer(cnames[i]))
		if i == 0 {
			copts[i] = o.database()
		} else {
			copts[i] = o.family(d.cmp)
		}
	}
	d.opts = copts
	cdir := C.CString(dir)
	defer C.free(unsafe.Pointer(cdir))
	var e *C.char
	d.db = C.rocksdb_open_column_families(copts[0], cdir, C.int(len(names)), &cnames[0], &copts[0], &handles[0], &e)
	if err := take(e); err != nil {
		d.free()
		return nil, fmt.Errorf("open RocksDB %s: %w", dir, err)
	}
	for i, n := range names {
		d.families[n] = handles[i]
	}
	return d, nil
}

// take turns RocksDB's error string into an error and frees it.
func take(e *C.char) error {
	if e == nil {
		return nil
	}
	defer C.rocksdb_free(unsafe.Pointer(e))
	return errors.New(C.GoString(e))
}

func wrap(what string, e *C.char) error {
	if err := take(e); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (d *DB) family(name string) *C.rocksdb_column_family_handle_t {
	h := d.families[name]
	if h == nil {
		panic("rocks: no column family " + name) // a mistake in the test
	}
	return h
}

func slice(b []byte) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}

// AddFamily makes a family.
func (d *DB) AddFamily(name string) error {
	opts := d.o.family(d.cmp)
	d.opts = append(d.opts, opts)
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	var e *C.char
	h := C.rocksdb_create_column_family(d.db, opts, c, &e)
	if err := wrap("add column family", e); err != nil {
		return err
	}
	d.families[name] = h
	return nil
}

// DropFamily drops a family.
func (d *DB) DropFamily(name string) error {
	h := d.family(name)
	var e *C.char
	C.rocksdb_drop_column_family(d.db, h, &e)
	C.rocksdb_column_family_handle_destroy(h)
	delete(d.families, name)
	return wrap("drop column family", e)
}

// Checkpoint writes a checkpoint into dir, which must not exist; memtables are flushed first.
func (d *DB) Checkpoint(dir string) error {
	var e *C.char
	c := C.rocksdb_checkpoint_object_create(d.db, &e)
	if err := wrap("checkpoint", e); err != nil {
		return err
	}
	defer C.rocksdb_checkpoint_object_destroy(c)
	s := C.CString(dir)
	defer C.free(unsafe.Pointer(s))
	C.rocksdb_checkpoint_create(c, s, 0, &e)
	return wrap("checkpoint", e)
}

// Close closes the database and lets go of everything.
func (d *DB) Close() {
	d.Release()
	for _, h := range d.families {
		C.rocksdb_column_family_handle_destroy(h)
	}
	C.rocksdb_close(d.db)
	d.free()
}

func (d *DB) free() {
	for _, o := range d.opts {
		C.rocksdb_options_destroy(o)
	}
	C.rocksdb_comparator_destroy(d.cmp)
	C.rocksdb_writeoptions_destroy(d.wo)
	C.rocksdb_readoptions_destroy(d.ro)
}
