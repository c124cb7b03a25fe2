package synctool

import "sync"

// bufferPool lends encode and copy buffers, so that a subtask without rows holds none.
type bufferPool struct{ p sync.Pool }

// Buffers larger than keepBuffer are left to the garbage collector: they were made for a single huge row.
const (
	newBuffer  = 512 << 10
	keepBuffer = 4 << 20
)

var buffers = &bufferPool{}

func (b *bufferPool) get() *[]byte {
	if v, ok := b.p.Get().(*[]byte); ok {
		return v
	}
	buf := make([]byte, 0, newBuffer)
	return &buf
}

func (b *bufferPool) put(buf *[]byte) {
	if cap(*buf) > keepBuffer {
		return
	}
	*buf = (*buf)[:0]
	b.p.Put(buf)
}
