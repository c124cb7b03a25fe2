package memzk

import (
	"encoding/binary"
	"fmt"
	"io"
)

// maxFrame bounds a request, a little above ZooKeeper's default jute.maxbuffer.
const maxFrame = 1<<20 + 64<<10

// decoder reads jute, ZooKeeper's serialisation: big-endian numbers, buffers with a length in front. After a read past the end bad is set and
// everything reads as zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	x := d.b[:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) int32() int32 {
	if x := d.take(4); x != nil {
		return int32(binary.BigEndian.Uint32(x))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if x := d.take(8); x != nil {
		return int64(binary.BigEndian.Uint64(x))
	}
	return 0
}

func (d *decoder) bool() bool {
	x := d.take(1)
	return x != nil && x[0] != 0
}

// bytes reads a buffer, nil when its length is -1.
func (d *decoder) bytes() []byte {
	n := d.int32()
	if n < 0 {
		return nil
	}
	return append([]byte{}, d.take(int(n))...)
}

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) strings() (v []string) {
	for n := d.int32(); n > 0 && !d.bad; n-- {
		v = append(v, d.string())
	}
	return v
}

func (d *decoder) acl() (v []ace) {
	for n := d.int32(); n > 0 && !d.bad; n-- {
		v = append(v, ace{d.int32(), identity{d.string(), d.string()}})
	}
	return v
}

// encoder writes jute.
type encoder struct{ b []byte }

func (e *encoder) int32(v int32) *encoder {
	e.b = binary.BigEndian.AppendUint32(e.b, uint32(v))
	return e
}

func (e *encoder) int64(v int64) *encoder {
	e.b = binary.BigEndian.AppendUint64(e.b, uint64(v))
	return e
}

func (e *encoder) bool(v bool) *encoder {
	var x byte
	if v {
		x = 1
	}
	e.b = append(e.b, x)
	return e
}

// bytes writes a buffer; nil becomes length -1, as the real server writes a node without data.
func (e *encoder) bytes(v []byte) *encoder {
	if v == nil {
		return e.int32(-1)
	}
	e.int32(int32(len(v)))
	e.b = append(e.b, v...)
	return e
}

func (e *encoder) string(v string) *encoder {
	e.int32(int32(len(v)))
	e.b = append(e.b, v...)
	return e
}

func (e *encoder) acl(v []ace) *encoder {
	e.int32(int32(len(v)))
	for _, a := range v {
		e.int32(a.perms).string(a.id.scheme).string(a.id.id)
	}
	return e
}

func (e *encoder) stat(n *node) *encoder {
	return e.int64(n.czxid).int64(n.mzxid).int64(n.ctime).int64(n.mtime).int32(n.version).int32(n.cversion).int32(n.aversion).
		int64(n.owner).int32(int32(len(n.data))).int32(int32(len(n.children))).int64(n.pzxid)
}

// readFrame reads one packet: 4 bytes length, then that much.
func readFrame(r io.Reader) ([]byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n > maxFrame {
		return nil, fmt.Errorf("packet of %d bytes, %d are allowed", n, maxFrame)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return b, nil
}
