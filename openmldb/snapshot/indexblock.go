package snapshot

import "encoding/binary"

const blockTrailer = 5 // u8 compression type, u32le checksum

// handle is the place of a block in its file; size is without the trailer.
type handle struct{ offset, size uint64 }

func (c *cursor) handle() handle { return handle{c.u64(), c.u64()} }

// indexFormat is how a table writes its index entries.
type indexFormat struct {
	delta    bool // no value length; a handle behind a shared key is the difference of sizes (format_version 4)
	userKey  bool // keys have no sequence number (format_version 3)
	firstKey bool // the block's first key stands behind the handle (index type 3)
}

// indexBlock walks a block of an index. A key is not before the last key of the block it stands for.
type indexBlock struct {
	format   indexFormat
	data     []byte
	restarts []byte
	pos      int

	key    []byte // user key
	raw    []byte // as stored
	handle handle
	built  []byte
	bad    string
}

func (x *indexBlock) reset(block []byte, f indexFormat) {
	x.format = f
	x.data, x.restarts, x.bad = splitBlock(block)
	if x.bad == "" && binary.LittleEndian.Uint32(block[len(block)-4:])&hashIndexFlag != 0 {
		x.bad = "an index block has a hash index"
	}
	x.pos, x.key, x.raw = 0, nil, nil
}

func (x *indexBlock) fail(why string) bool {
	x.bad, x.pos, x.key, x.raw = why, len(x.data), nil, nil
	return false
}

func (x *indexBlock) next() bool {
	if x.pos >= len(x.data) || x.bad != "" {
		return false
	}
	c := cursor{b: x.data[x.pos:]}
	shared, unshared := int(c.u32()), int(c.u32())
	if !x.format.delta {
		c.u32()
	}
	if c.bad || shared > len(x.raw) || unshared > len(c.b) {
		return x.fail("the header of an index entry is not whole")
	}
	if shared == 0 {
		x.raw = c.b[:unshared:unshared]
	} else {
		k := append(append(x.built[:0], x.raw[:shared]...), c.b[:unshared]...)
		x.built, x.raw = k, k
	}
	c.b = c.b[unshared:]
	if x.format.delta && shared != 0 {
		d, n := binary.Varint(c.b)
		if n <= 0 {
			return x.fail("an index entry has no size")
		}
		c.b = c.b[n:]
		x.handle = handle{x.handle.offset + x.handle.size + blockTrailer, x.handle.size + uint64(d)}
	} else {
		x.handle = c.handle()
	}
	if x.format.firstKey {
		c.bytes()
	}
	if c.bad {
		return x.fail("an index entry has no handle")
	}
	x.key = x.raw
	if !x.format.userKey {
		k, _, ok := splitInternal(x.raw)
		if !ok {
			return x.fail("an index key is shorter than its sequence number")
		}
		x.key = k
	}
	x.pos = len(x.data) - len(c.b)
	return true
}

// seek steps to the first entry whose key is not before user.
func (x *indexBlock) seek(user []byte) bool {
	if x.bad != "" {
		return false
	}
	lo, hi := 0, len(x.restarts)/4
	for hi-lo > 1 {
		mid := int(uint(lo+hi) / 2)
		if !x.restart(mid) || !x.next() {
			if x.bad == "" {
				x.fail("a restart of an index points to no entry")
			}
			return false
		}
		if Compare(x.key, user) < 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		x.pos, x.raw = 0, nil
	} else if !x.restart(lo) {
		return x.fail("a restart of an index points to no entry")
	}
	for x.next() {
		if Compare(x.key, user) >= 0 {
			return true
		}
	}
	return false
}

func (x *indexBlock) restart(i int) bool {
	at := binary.LittleEndian.Uint32(x.restarts[4*i:])
	if uint64(at) >= uint64(len(x.data)) {
		return false
	}
	x.pos, x.raw = int(at), nil
	return true
}
