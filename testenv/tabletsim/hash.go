package tabletsim

import (
	"encoding/binary"
	"strconv"
	"strings"

	"omsync/openmldb/pb/typepb"
)

// Keys of index columns that are NULL or empty (formats.md §3.4).
const (
	nullKey  = "!N@U#L$L%"
	emptyKey = "!@#$%"
)

const hashSeed = 0xe17a1465

// murmur64A is MurmurHash64A, as base/hash.h has it.
func murmur64A(key []byte, seed uint64) uint64 {
	const m = 0xc6a4a7935bd1e995
	const r = 47
	h := seed ^ uint64(len(key))*m
	for ; len(key) >= 8; key = key[8:] {
		k := binary.LittleEndian.Uint64(key)
		k *= m
		k ^= k >> r
		k *= m
		h ^= k
		h *= m
	}
	if len(key) > 0 {
		for i := len(key) - 1; i >= 0; i-- {
			h ^= uint64(key[i]) << (8 * i)
		}
		h *= m
	}
	h ^= h >> r
	h *= m
	h ^= h >> r
	return h
}

// PartitionOf is the partition a key of any index belongs to (formats.md §3.4).
func PartitionOf(pk string, partitions int) uint32 {
	h := int64(murmur64A([]byte(pk), hashSeed))
	if h < 0 {
		h = -h
	}
	return uint32(h % int64(partitions))
}

// joinKey makes a pk of the values of the index columns.
func joinKey(types []typepb.DataType, values []any) string {
	parts := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			parts[i] = nullKey
		case string:
			if v == "" {
				v = emptyKey
			}
			parts[i] = v
		case bool:
			parts[i] = strconv.FormatBool(v)
		case int64:
			parts[i] = strconv.FormatInt(v, 10)
		default:
			// checkValues has refused floats as keys of types[i].
			parts[i] = types[i].String()
		}
	}
	return strings.Join(parts, "|")
}
