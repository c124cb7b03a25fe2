package row

import (
	"errors"
	"fmt"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
	"omsync/openmldb/pb/nspb"
	"omsync/openmldb/pb/typepb"
)

// Set is every schema version of one table. It does not change, and may be used from several goroutines.
type Set struct {
	versions [256]*Schema
	latest   *Schema
	snappy   bool
}

// NewSet lays the versions out: version v has the base columns and the first field_count(v) - len(base) added ones; version 1 is the base
// (docs/formats.md §5).
func NewSet(base, added []*commonpb.ColumnDesc, versions []*commonpb.VersionPair, compress typepb.CompressType) (*Set, error) {
	if len(base) == 0 {
		return nil, errors.New("a table without columns")
	}
	all := append(columnsOf(base), columnsOf(added)...)
	s := &Set{snappy: compress == typepb.CompressType_kSnappy}
	if err := s.add(1, all[:len(base):len(base)]); err != nil {
		return nil, err
	}
	for _, v := range versions {
		id, n := v.GetId(), int(v.GetFieldCount())
		if id < 1 || id > 255 {
			return nil, fmt.Errorf("schema version %d: want 1 to 255", id)
		}
		if n < len(base) || n > len(all) {
			return nil, fmt.Errorf("schema version %d has %d columns, but the table has %d and %d added ones", id, n, len(base), len(added))
		}
		if old := s.versions[id]; old != nil {
			if len(old.columns) != n {
				return nil, fmt.Errorf("schema version %d has %d columns and %d", id, len(old.columns), n)
			}
			continue
		}
		if err := s.add(uint8(id), all[:n:n]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Set) add(id uint8, columns []Column) error {
	sc, err := newSchema(id, columns)
	if err != nil {
		return err
	}
	s.versions[id] = sc
	if s.latest == nil || id > s.latest.id {
		s.latest = sc
	}
	return nil
}

// SetOfMeta is the Set of a tablet's answer (GetTableSchema, docs/formats.md §2.6).
func SetOfMeta(m *apipb.TableMeta) (*Set, error) {
	s, err := NewSet(m.GetColumnDesc(), m.GetAddedColumnDesc(), m.GetSchemaVersions(), m.GetCompressType())
	if err != nil {
		return nil, fmt.Errorf("schema of table %s.%s: %w", m.GetDb(), m.GetName(), err)
	}
	return s, nil
}

// SetOfInfo is the Set of a table's node in ZooKeeper (docs/formats.md §1.2).
func SetOfInfo(t *nspb.TableInfo) (*Set, error) {
	s, err := NewSet(t.GetColumnDesc(), t.GetAddedColumnDesc(), t.GetSchemaVersions(), t.GetCompressType())
	if err != nil {
		return nil, fmt.Errorf("schema of table %s.%s: %w", t.GetDb(), t.GetName(), err)
	}
	return s, nil
}

// Latest is the highest version.
func (s *Set) Latest() *Schema { return s.latest }

// Version finds a version.
func (s *Set) Version(v uint8) (*Schema, bool) { sc := s.versions[v]; return sc, sc != nil }

// Snappy tells whether the table's values are compressed.
func (s *Set) Snappy() bool { return s.snappy }
