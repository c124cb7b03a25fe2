//go:build rocksdb

package rocks

/*
#cgo LDFLAGS: -lrocksdb
#include "keyts.h"
*/
import "C"

// Compression of blocks, as RocksDB numbers it.
const (
	CompressNone   = 0
	CompressSnappy = 1
	CompressZlib   = 2
	CompressLZ4    = 4
	CompressLZ4HC  = 5
	CompressZSTD   = 7
)

// Checksum of blocks, as RocksDB numbers it.
const (
	ChecksumNone     = 0
	ChecksumCRC32C   = 1
	ChecksumXXHash   = 2
	ChecksumXXHash64 = 3
	ChecksumXXH3     = 4
)

// Index of a table, as RocksDB numbers it.
const (
	IndexBinary   = 0
	IndexTwoLevel = 2
	IndexFirstKey = 3
)

// Options of a database. The zero value is refused: use Tablet and change what the test is about.
type Options struct {
	Compression     int
	Checksum        int
	Format          int  // format_version
	Index           int  // index type
	BlockSize       int  // bytes
	IndexBlockSize  int  // bytes, of a two-level index
	RestartInterval int  // of data blocks
	IndexRestart    int  // of index blocks
	SharedKeys      bool // keys share prefixes within a restart interval
	DictBytes       int  // of a compression dictionary, 0: none
	FileSize        int  // bytes, where compaction cuts
	LevelBase       int  // bytes of level 1
	L0Trigger       int  // files of level 0
	AutoCompact     bool
}

// Tablet is what an OpenMLDB tablet sets for an SSD table (docs/formats.md §3.3), without its compaction, which tests start themselves.
func Tablet() Options {
	return Options{
		Compression: CompressNone, Checksum: ChecksumCRC32C, Format: 5, Index: IndexBinary, BlockSize: 256 << 10, IndexBlockSize: 4 << 10,
		RestartInterval: 16, IndexRestart: 1, FileSize: 64 << 20, LevelBase: 256 << 20, L0Trigger: 16,
	}
}

func (o Options) database() *C.rocksdb_options_t {
	opts := C.rocksdb_options_create()
	C.rocksdb_options_set_create_if_missing(opts, 1)
	C.rocksdb_options_set_create_missing_column_families(opts, 1)
	C.rocksdb_options_set_compression(opts, C.int(o.Compression))
	C.rocksdb_options_set_disable_auto_compactions(opts, C.int(flag(!o.AutoCompact)))
	C.rocksdb_options_set_target_file_size_base(opts, C.uint64_t(o.FileSize))
	C.rocksdb_options_set_max_bytes_for_level_base(opts, C.uint64_t(o.LevelBase))
	C.rocksdb_options_set_level0_file_num_compaction_trigger(opts, C.int(o.L0Trigger))
	C.rocksdb_options_set_level0_slowdown_writes_trigger(opts, 1000)
	C.rocksdb_options_set_level0_stop_writes_trigger(opts, 1000)
	C.rocksdb_options_set_keep_log_file_num(opts, 1)
	C.rocksdb_options_set_uint64add_merge_operator(opts)
	return opts
}

func (o Options) family(cmp *C.rocksdb_comparator_t) *C.rocksdb_options_t {
	opts := o.database()
	C.rocksdb_options_set_comparator(opts, cmp)
	C.rocksdb_options_set_prefix_extractor(opts, C.rocks_key_ts_prefix())
	if o.DictBytes > 0 {
		C.rocksdb_options_set_compression_options(opts, -14, 32767, 0, C.int(o.DictBytes))
	}
	t := C.rocksdb_block_based_options_create()
	defer C.rocksdb_block_based_options_destroy(t)
	C.rocksdb_block_based_options_set_format_version(t, C.int(o.Format))
	C.rocksdb_block_based_options_set_checksum(t, C.char(o.Checksum))
	C.rocksdb_block_based_options_set_index_type(t, C.int(o.Index))
	C.rocksdb_block_based_options_set_block_size(t, C.size_t(o.BlockSize))
	C.rocksdb_block_based_options_set_metadata_block_size(t, C.uint64_t(o.IndexBlockSize))
	C.rocksdb_block_based_options_set_block_restart_interval(t, C.int(o.RestartInterval))
	C.rocksdb_block_based_options_set_index_block_restart_interval(t, C.int(o.IndexRestart))
	C.rocksdb_block_based_options_set_use_delta_encoding(t, C.uchar(flag(o.SharedKeys)))
	C.rocksdb_block_based_options_set_whole_key_filtering(t, 0)
	C.rocksdb_options_set_block_based_table_factory(opts, t)
	return opts
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
