package snapshot

import "encoding/binary"

// entries walks one block of keys and values (data, meta and range_del blocks; formats.md §3.5). Nothing is copied: keys and values lie in the
// block, except keys that share a prefix with the one before them.
type entries struct {
	data     []byte // the entries
	restarts []byte // u32le offsets of entries that share nothing
	pos      int    // of the next entry

	key, val []byte
	built    [2][]byte // shared keys; the previous key stays valid for one step
	turn     int
	bad      string // why the block is damaged
}

const hashIndexFlag = 1 << 31 // in the restart count: a hash index follows the restarts

// splitBlock cuts a block into entries and restart offsets.
func splitBlock(b []byte) (data, restarts []byte, bad string) {
	if len(b) < 4 {
		return nil, nil, "a block is shorter than its restart count"
	}
	end := len(b) - 4
	n := binary.LittleEndian.Uint32(b[end:])
	if uint64(n)*4 > uint64(end) {
		return nil, nil, "a block has more restarts than bytes"
	}
	start := end - int(n)*4
	return b[:start], b[start:end], ""
}

func (e *entries) reset(block []byte) {
	e.data, e.restarts, e.bad = splitBlock(block)
	e.pos, e.key, e.val = 0, nil, nil
}

func (e *entries) clear() { e.data, e.restarts, e.bad, e.pos, e.key, e.val = nil, nil, "", 0, nil, nil }

func (e *entries) fail(why string) bool {
	e.bad, e.pos, e.key, e.val = why, len(e.data), nil, nil
	return false
}

// next steps to the next entry. After false, bad says whether the block ended or is damaged.
func (e *entries) next() bool {
	d := e.data[e.pos:]
	if len(d) < 3 {
		if len(d) == 0 {
			return false
		}
		return e.fail("an entry is shorter than its header")
	}
	// Lengths are one byte for most keys and one or two for most values.
	shared, unshared, vlen, n := int(d[0]), int(d[1]), int(d[2]), 3
	if shared|unshared|vlen >= 0x80 {
		if shared|unshared < 0x80 && len(d) > 3 && d[3] < 0x80 {
			vlen, n = vlen&0x7f|int(d[3])<<7, 4
		} else if shared, unshared, vlen, n = entryHeader(d); n == 0 {
			return e.fail("the header of an entry is not whole")
		}
	}
	if unshared > len(d)-n || vlen > len(d)-n-unshared {
		return e.fail("an entry goes over the end of its block")
	}
	end := n + unshared
	if shared == 0 {
		e.key = d[n:end:end]
	} else {
		if shared > len(e.key) {
			return e.fail("an entry shares more of a key than there is")
		}
		e.turn ^= 1
		k := append(append(e.built[e.turn][:0], e.key[:shared]...), d[n:end]...)
		e.built[e.turn], e.key = k, k
	}
	e.val = d[end : end+vlen : end+vlen]
	e.pos += end + vlen
	return true
}

func entryHeader(d []byte) (shared, unshared, vlen, n int) {
	s, a := uvarint32(d)
	u, b := uvarint32(d[a:])
	v, c := uvarint32(d[a+b:])
	if a == 0 || b == 0 || c == 0 {
		return 0, 0, 0, 0
	}
	return int(s), int(u), int(v), a + b + c
}

// seek steps to the first entry whose user key is not before user, searching the restart points first.
func (e *entries) seek(user []byte) bool {
	lo, hi := 0, len(e.restarts)/4 // the last restart in [0, hi) whose key is before user, or 0
	for hi-lo > 1 {
		mid := int(uint(lo+hi) / 2)
		k, ok := e.restartKey(mid)
		if !ok {
			return e.fail("a restart points to no entry")
		}
		if Compare(k, user) < 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	e.pos, e.key, e.bad = 0, nil, ""
	if lo > 0 {
		e.pos = int(binary.LittleEndian.Uint32(e.restarts[4*lo:]))
	}
	for e.next() {
		k, _, ok := splitInternal(e.key)
		if !ok {
			return e.fail("a key is shorter than its sequence number")
		}
		if Compare(k, user) >= 0 {
			return true
		}
	}
	return false
}

// restartKey gives the user key at restart i.
func (e *entries) restartKey(i int) ([]byte, bool) {
	at := binary.LittleEndian.Uint32(e.restarts[4*i:])
	if uint64(at) >= uint64(len(e.data)) {
		return nil, false
	}
	d := e.data[at:]
	shared, unshared, _, n := entryHeader(d)
	if n == 0 || shared != 0 || unshared > len(d)-n {
		return nil, false
	}
	k, _, ok := splitInternal(d[n : n+unshared])
	return k, ok
}
