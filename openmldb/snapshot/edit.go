package snapshot

import "fmt"

// Tags of a VersionEdit. Those from tagIgnorable up carry their length and may be passed over; of the others each one has to be known.
const (
	tagComparator      = 1
	tagLogNumber       = 2
	tagNextFile        = 3
	tagLastSequence    = 4
	tagCompactCursor   = 5
	tagDeletedFile     = 6
	tagNewFile         = 7
	tagPrevLogNumber   = 9
	tagMinLogToKeep    = 10
	tagNewFile2        = 100
	tagNewFile3        = 102
	tagNewFile4        = 103
	tagFamily          = 200
	tagFamilyAdd       = 201
	tagFamilyDrop      = 202
	tagMaxFamily       = 203
	tagInAtomicGroup   = 300
	tagBlobFile        = 400
	tagBlobFileGarbage = 401
	tagIgnorable       = 1 << 13
)

// Fields behind a tagNewFile4; those with fieldNeeded set have to be known.
const (
	fieldEnd      = 1
	fieldBlobFile = 4
	fieldNeeded   = 1 << 6
	fieldPath     = fieldNeeded | 1
)

const levels = 64 // more than any RocksDB has; the number is read from outside

// fileMeta is one live table file of a family.
type fileMeta struct {
	num, size         uint64
	level             int
	smallest, largest bound // both inclusive; they span the range tombstones, too
	maxSeq            uint64
}

type deletedFile struct {
	level int
	num   uint64
}

// edit is one decoded VersionEdit. Its bytes are its own.
type edit struct {
	family     uint32
	add        *string
	drop       bool
	comparator *string
	lastSeq    *uint64
	deleted    []deletedFile
	added      []*fileMeta
	remaining  *uint32 // edits of the atomic group that still follow
}

// errEdit says what is wrong with an edit; the caller knows the place.
type errEdit string

func (e errEdit) Error() string { return string(e) }

// errFeature says what an edit needs that this package does not read.
type errFeature string

func (e errFeature) Error() string { return string(e) }

// decodeEdit decodes a VersionEdit of RocksDB 4 to 9 (db/version_edit.cc).
func decodeEdit(b []byte) (*edit, error) {
	e := &edit{}
	c := cursor{b: b}
	for len(c.b) > 0 {
		tag := c.u32()
		switch tag {
		case tagComparator:
			s := string(c.bytes())
			e.comparator = &s
		case tagLogNumber, tagNextFile, tagPrevLogNumber, tagMinLogToKeep:
			c.u64()
		case tagMaxFamily:
			c.u32()
		case tagLastSequence:
			v := c.u64()
			e.lastSeq = &v
		case tagCompactCursor:
			c.u32()
			c.bytes()
		case tagDeletedFile:
			level := c.u32()
			e.deleted = append(e.deleted, deletedFile{int(level), c.u64()})
		case tagNewFile, tagNewFile2, tagNewFile3, tagNewFile4:
			f, err := decodeFile(&c, tag)
			if err != nil {
				return nil, err
			}
			e.added = append(e.added, f)
		case tagFamily:
			e.family = c.u32()
		case tagFamilyAdd:
			s := string(c.bytes())
			e.add = &s
		case tagFamilyDrop:
			e.drop = true
		case tagInAtomicGroup:
			v := c.u32()
			e.remaining = &v
		case tagBlobFile, tagBlobFileGarbage:
			return nil, errFeature("a blob file")
		default:
			if c.bad {
				break
			}
			if tag&tagIgnorable == 0 {
				return nil, errFeature(fmt.Sprintf("version edit tag %d", tag))
			}
			c.bytes()
		}
	}
	if c.bad {
		return nil, errEdit("a version edit ends inside a field")
	}
	return e, nil
}

func decodeFile(c *cursor, tag uint32) (*fileMeta, error) {
	f := &fileMeta{level: int(c.u32()), num: c.u64(), maxSeq: maxSeq}
	if tag == tagNewFile3 && c.u32() != 0 {
		return nil, errFeature("a table file in a second directory")
	}
	f.size = c.u64()
	lo, hi := c.bytes(), c.bytes()
	if tag != tagNewFile {
		c.u64()
		f.maxSeq = c.u64()
	}
	if tag == tagNewFile4 {
		if err := decodeFields(c); err != nil {
			return nil, err
		}
	}
	if c.bad {
		return nil, errEdit("a version edit ends inside a file entry")
	}
	if f.level >= levels {
		return nil, errEdit(fmt.Sprintf("file %06d is in level %d", f.num, f.level))
	}
	var ok1, ok2 bool
	f.smallest, ok1 = boundOf(lo)
	f.largest, ok2 = boundOf(hi)
	if !ok1 || !ok2 {
		return nil, errEdit(fmt.Sprintf("a boundary key of file %06d is no internal key", f.num))
	}
	return f, nil
}

func decodeFields(c *cursor) error {
	for !c.bad {
		field := c.u32()
		if field == fieldEnd || c.bad {
			return nil
		}
		v := c.bytes()
		switch {
		case field == fieldPath:
			if len(v) != 1 || v[0] != 0 {
				return errFeature("a table file in a second directory")
			}
		case field == fieldBlobFile:
			return errFeature("a blob file")
		case field&fieldNeeded != 0:
			return errFeature(fmt.Sprintf("field %d of a file entry", field))
		}
	}
	return nil
}

func boundOf(ikey []byte) (bound, bool) {
	user, trailer, ok := splitInternal(ikey)
	return bound{user: append([]byte(nil), user...), trailer: trailer}, ok
}
