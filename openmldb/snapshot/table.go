package snapshot

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// Names of meta blocks and properties.
const (
	metaProperties  = "rocksdb.properties"
	metaRangeDel    = "rocksdb.range_del"
	metaDictionary  = "rocksdb.compression_dict"
	propComparator  = "rocksdb.comparator"
	propFamily      = "rocksdb.column.family.id"
	propIndexType   = "rocksdb.block.based.table.index.type"
	propUserKey     = "rocksdb.index.key.is.user.key"
	propDelta       = "rocksdb.index.value.is.delta.encoded"
	propExternal    = "rocksdb.external_sst_file.version"
	propExternalSeq = "rocksdb.external_sst_file.global_seqno"
)

const (
	indexBinary   = 0
	indexHash     = 1 // a binary index with more beside it
	indexTwoLevel = 2
	indexFirstKey = 3
)

const unknownFamily = 1<<31 - 1 // of an ingested file

// table is an open table file. It is read by several iterators at once; everything but the fragments is fixed after open.
type table struct {
	name   string
	f      File
	size   int64
	meta   *fileMeta
	footer footer

	index    []byte // the top block of the index
	format   indexFormat
	twoLevel bool
	override bool // an ingested file: all entries have the sequence number of meta

	rangeDel *handle
	mu       sync.Mutex // of the two below
	cut      bool       // frags are there
	frags    []fragment
}

// openTable opens a live file of family c and checks that it is what the MANIFEST says.
func openTable(fsys FS, name string, meta *fileMeta, c *family) (*table, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open table file: %w", err)
	}
	t := &table{name: name, f: f, meta: meta}
	if err := t.load(c); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

func (t *table) load(c *family) error {
	fi, err := t.f.Stat()
	if err != nil {
		return fmt.Errorf("open table file: %w", err)
	}
	t.size = fi.Size()
	if err := checkSize(t.name, t.meta, t.size); err != nil {
		return err
	}
	b := make([]byte, min(t.size, footerSize))
	if n, err := t.f.ReadAt(b, t.size-int64(len(b))); n < len(b) {
		return readError(t.name, t.size, err)
	}
	if t.footer, err = parseFooter(t.name, t.size, b); err != nil {
		return err
	}
	var r blockReader
	r.open(t)
	blocks, err := t.metaBlocks(&r)
	if err != nil {
		return err
	}
	if _, ok := blocks[metaDictionary]; ok {
		return unsupported(t.name, "a compression dictionary")
	}
	if h, ok := blocks[metaRangeDel]; ok {
		t.rangeDel = &h
	}
	h, ok := blocks[metaProperties]
	if !ok {
		return corrupt(t.name, int64(t.footer.metaindex.offset), "there are no properties")
	}
	p, err := t.properties(&r, h)
	if err != nil {
		return err
	}
	if err := t.check(p, h, c); err != nil {
		return err
	}
	index, err := r.read(t.footer.index)
	if err != nil {
		return err
	}
	t.index = append([]byte(nil), index...)
	return nil
}

func checkSize(name string, meta *fileMeta, size int64) error {
	if uint64(size) != meta.size {
		return corrupt(name, min(size, int64(meta.size)), "the file has %d bytes instead of %d", size, meta.size)
	}
	return nil
}

func (t *table) metaBlocks(r *blockReader) (map[string]handle, error) {
	h := t.footer.metaindex
	b, err := r.read(h)
	if err != nil {
		return nil, err
	}
	out := map[string]handle{}
	var e entries
	for e.reset(b); e.next(); {
		c := cursor{b: e.val}
		out[string(e.key)] = c.handle()
		if c.bad {
			return nil, corrupt(t.name, int64(h.offset), "the handle of meta block %q is not whole", e.key)
		}
	}
	if e.bad != "" {
		return nil, corrupt(t.name, int64(h.offset), "%s", e.bad)
	}
	return out, nil
}

// properties reads the properties block. RocksDB writes the sequence number of an ingested file into it later and leaves the checksum as it was.
func (t *table) properties(r *blockReader, h handle) (map[string][]byte, error) {
	b, err := r.read(h)
	if err != nil {
		raw, err2 := r.raw(h)
		if err2 != nil || !t.sealed(raw) {
			return nil, err
		}
		if b, err = r.plain(h, raw); err != nil {
			return nil, err
		}
	}
	p, bad := parseProperties(b)
	if bad != "" {
		return nil, corrupt(t.name, int64(h.offset), "%s", bad)
	}
	return p, nil
}

// sealed tells whether the checksum of an ingested file's properties is right with the sequence number as it was when the file was made, 0.
func (t *table) sealed(raw []byte) bool {
	n := len(raw) - blockTrailer
	var e entries
	for e.reset(raw[:n]); e.next(); {
		if string(e.key) != propExternalSeq || len(e.val) != 8 || e.bad != "" {
			continue
		}
		b := append([]byte(nil), raw[:n+1]...)
		clear(b[e.pos-8 : e.pos])
		return t.footer.checksum.of(b) == binary.LittleEndian.Uint32(raw[n+1:])
	}
	return false
}

func parseProperties(b []byte) (map[string][]byte, string) {
	out := map[string][]byte{}
	var e entries
	for e.reset(b); e.next(); {
		out[string(e.key)] = append([]byte(nil), e.val...)
	}
	return out, e.bad
}

func (t *table) check(p map[string][]byte, h handle, c *family) error {
	number := func(name string) uint64 {
		v := cursor{b: p[name]}
		if len(v.b) == 0 {
			return 0
		}
		return v.u64()
	}
	if s, ok := p[propComparator]; ok && string(s) != c.comparator {
		return corrupt(t.name, int64(h.offset), "the table is sorted by %q, its column family %s by %q", s, c.name, c.comparator)
	}
	if id := number(propFamily); p[propFamily] != nil && id != uint64(c.id) && id != unknownFamily {
		return corrupt(t.name, int64(h.offset), "the table belongs to column family %d, the MANIFEST says %d (%s)", id, c.id, c.name)
	}
	switch typ := fixed32(p[propIndexType]); typ {
	case indexBinary, indexHash:
	case indexTwoLevel:
		t.twoLevel = true
	case indexFirstKey:
		t.format.firstKey = true
	default:
		return unsupported(t.name, "index type %d", typ)
	}
	t.format.userKey = number(propUserKey) != 0
	t.format.delta = number(propDelta) != 0
	switch v := fixed32(p[propExternal]); v {
	case 0, 1:
	case 2:
		if s := fixed64(p[propExternalSeq]); s != 0 && s != t.meta.maxSeq {
			return corrupt(t.name, int64(h.offset), "the table was ingested at sequence number %d, the MANIFEST says %d", s, t.meta.maxSeq)
		}
		t.override = true
	default:
		return unsupported(t.name, "version %d of an ingested file", v)
	}
	return nil
}

// fragments gives the range tombstones of the file, cut to its boundaries.
func (t *table) fragments() ([]fragment, error) {
	if t.rangeDel == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return t.frags, nil
	}
	var r blockReader
	r.open(t)
	b, err := r.read(*t.rangeDel)
	if err != nil {
		return nil, err // not remembered: the next reading may succeed
	}
	tombs, bad := parseTombstones(b)
	if bad != "" {
		return nil, corrupt(t.name, int64(t.rangeDel.offset), "%s", bad)
	}
	if t.override {
		for i := range tombs {
			tombs[i].seq = t.meta.maxSeq
		}
	}
	t.frags, t.cut = clip(fragmentize(tombs), t.meta), true
	return t.frags, nil
}

func (t *table) close() error { return t.f.Close() }
