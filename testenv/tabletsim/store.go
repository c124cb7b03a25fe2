package tabletsim

import "errors"

// ErrNoStore is what a snapshot needs and a binary without RocksDB lacks.
var ErrNoStore = errors.New("this binary has no RocksDB: build with -tags rocksdb")

// KV is one key of one column family.
type KV struct {
	Family     string
	Key, Value []byte
}

// Store is what lies under a partition's data/.
type Store interface {
	// Put writes all of kvs or none.
	Put(kvs []KV) error
	// DeleteRange removes start <= key < end in KeyTSComparator's order.
	DeleteRange(family string, start, end []byte) error
	AddFamily(name string) error
	// Scan visits a family from the first key on, until f returns false.
	Scan(family string, f func(key, value []byte) bool) error
	// Keys is RocksDB's estimate.
	Keys(family string) uint64
	// Checkpoint flushes and makes dir, which must not exist.
	Checkpoint(dir string) error
	Close() error
}

// Engine opens Stores. families are those of the schema; whatever else is there is opened too.
type Engine interface {
	Open(dir string, families []string, hdd bool) (Store, error)
	// Writes tells whether Stores keep what they are given.
	Writes() bool
}

// NoEngine is the Engine of a tablet that serves finished directories and appends to logs: Stores forget what they are given.
type NoEngine struct{}

// Open returns a Store that forgets.
func (NoEngine) Open(string, []string, bool) (Store, error) { return forgetful{}, nil }

// Writes is false.
func (NoEngine) Writes() bool { return false }

type forgetful struct{}

func (forgetful) Put([]KV) error                                  { return nil }
func (forgetful) DeleteRange(string, []byte, []byte) error        { return nil }
func (forgetful) AddFamily(string) error                          { return nil }
func (forgetful) Scan(string, func(key, value []byte) bool) error { return ErrNoStore }
func (forgetful) Keys(string) uint64                              { return 0 }
func (forgetful) Checkpoint(string) error                         { return ErrNoStore }
func (forgetful) Close() error                                    { return nil }
