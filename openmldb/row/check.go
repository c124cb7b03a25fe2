package row

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by what is no row: too short, of another size than it says, with strings outside itself.
var ErrCorrupt = errors.New("corrupt row")

// VersionError: a row of a schema version that the Set does not know. The table may have been altered since.
type VersionError struct {
	Version, Latest uint8
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("row of schema version %d: the table's latest known one is %d", e.Version, e.Latest)
}

// Size is the size in bytes of the first row in b, as its header says. b may be shorter or longer than the row.
func Size(b []byte) (int, error) {
	if len(b) < headerSize {
		return 0, fmt.Errorf("%w: %d bytes hold no header", ErrCorrupt, len(b))
	}
	n := binary.LittleEndian.Uint32(b[2:])
	if b[0] != 1 {
		return 0, fmt.Errorf("%w: format version %d, want 1", ErrCorrupt, b[0])
	}
	if n <= headerSize || uint64(n) > 1<<31-1 {
		return 0, fmt.Errorf("%w: a size of %d bytes", ErrCorrupt, n)
	}
	return int(n), nil
}

// Check takes a whole row (plain, not compressed) and returns its schema. When it passes, every accessor of that schema is safe. The errors are
// *VersionError and those that wrap ErrCorrupt.
func (s *Set) Check(row []byte) (*Schema, error) {
	n, err := Size(row)
	if err != nil {
		return nil, err
	}
	if n != len(row) {
		return nil, fmt.Errorf("%w: it has %d bytes and says %d", ErrCorrupt, len(row), n)
	}
	sc := s.versions[row[1]]
	if sc == nil {
		return nil, &VersionError{Version: row[1], Latest: s.latest.id}
	}
	return sc, sc.check(row)
}

// check takes a row whose header is right. Offsets of NULL strings may be stale and are not looked at, but for the end of the string before.
func (s *Schema) check(row []byte) error {
	w := offsetWidth(len(row))
	begin := s.table + w*s.strings
	if begin > len(row) {
		return fmt.Errorf("%w: %d bytes are too few for %d columns", ErrCorrupt, len(row), len(s.columns))
	}
	if s.strings == 0 {
		return nil
	}
	for i := range s.fields {
		f := &s.fields[i]
		if row[f.null]&f.bit != 0 || !s.columns[i].IsString() {
			continue
		}
		from, to := s.bounds(row, w, f.at)
		if from < begin || to < from || to > len(row) {
			return fmt.Errorf("%w: column %s lies at %d to %d of %d bytes", ErrCorrupt, s.columns[i].Name, from, to, len(row))
		}
	}
	return nil
}

// bounds of the i-th string.
func (s *Schema) bounds(row []byte, w, i int) (from, to int) {
	from, to = s.offset(row, w, i), len(row)
	if i+1 < s.strings {
		to = s.offset(row, w, i+1)
	}
	return from, to
}

// offset of the i-th string. Three-byte offsets are big-endian.
func (s *Schema) offset(row []byte, w, i int) int {
	p := row[s.table+w*i:]
	switch w {
	case 1:
		return int(p[0])
	case 2:
		return int(binary.LittleEndian.Uint16(p))
	case 3:
		return int(p[0])<<16 | int(p[1])<<8 | int(p[2])
	}
	return int(binary.LittleEndian.Uint32(p))
}
