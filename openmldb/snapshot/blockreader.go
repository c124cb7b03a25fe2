package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// blockReader reads, verifies and decompresses blocks of table files. It holds one window of a file and one decompressed block; a block is valid
// until the next call.
type blockReader struct {
	name   string
	f      io.ReaderAt
	end    uint64 // where blocks end: the footer begins
	sum    checksum
	ahead  uint64 // bytes to read at once where blocks are smaller
	window []byte
	at     uint64 // of window
	out    []byte
}

// open turns to another file; the buffers stay.
func (r *blockReader) open(t *table) {
	r.name, r.f, r.end, r.sum = t.name, t.f, uint64(t.size)-footerSize, t.footer.checksum
	r.window = r.window[:0]
}

// read gives the block at h.
func (r *blockReader) read(h handle) ([]byte, error) {
	b, err := r.raw(h)
	if err != nil {
		return nil, err
	}
	if r.sum != checksumNone {
		if want, got := binary.LittleEndian.Uint32(b[h.size+1:]), r.sum.of(b[:h.size+1]); want != got {
			return nil, corrupt(r.name, int64(h.offset), "the %v of a block of %d bytes is %#x instead of %#x", r.sum, h.size, got, want)
		}
	}
	return r.plain(h, b)
}

// plain decompresses a block with its trailer.
func (r *blockReader) plain(h handle, b []byte) ([]byte, error) {
	typ := compression(b[h.size])
	b = b[:h.size:h.size]
	if typ == compressNone {
		return b, nil
	}
	if !typ.readable() {
		return nil, unsupported(r.name, "a block with compression %v", typ)
	}
	out, err := typ.decompress(r.out, b)
	if err != nil {
		return nil, corrupt(r.name, int64(h.offset), "a block of %d bytes cannot be decompressed: %v", h.size, err)
	}
	r.out = out
	return out, nil
}

// raw gives the bytes of a block and its trailer, from the window if they are in it.
func (r *blockReader) raw(h handle) ([]byte, error) {
	if h.size > r.end || h.offset > r.end-h.size || r.end-h.size-h.offset < blockTrailer {
		return nil, corrupt(r.name, int64(min(h.offset, r.end)), "a block of %d bytes goes over the end of the file", h.size)
	}
	n := h.size + blockTrailer
	if h.offset >= r.at && h.offset-r.at <= uint64(len(r.window)) && n <= uint64(len(r.window))-(h.offset-r.at) {
		from := h.offset - r.at
		return r.window[from : from+n], nil
	}
	want := min(max(n, r.ahead), r.end-h.offset)
	r.window = resize(r.window, int(want))
	r.at = h.offset
	if got, err := r.f.ReadAt(r.window, int64(h.offset)); got < len(r.window) {
		r.window = r.window[:0]
		return nil, readError(r.name, int64(h.offset), err)
	}
	return r.window[:n], nil
}

// readError names the file of a read that came short.
func readError(name string, at int64, err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt(name, at, "the file ends here")
	}
	return fmt.Errorf("read %s at %d: %w", name, at, err)
}
