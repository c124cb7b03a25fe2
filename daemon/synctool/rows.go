package synctool

import (
	"fmt"
	"time"

	"omsync/daemon/coord"
	"omsync/daemon/dest"
	"omsync/openmldb/pb/nspb"
	"omsync/openmldb/row"
)

// Rows is what is known of one table's rows at one moment: all its schema versions.
type Rows interface {
	// Latest is the highest schema version.
	Latest() uint8
	// Split checks the first row of b and returns its length.
	Split(b []byte) (int, error)
	// Encoder writes rows of any version with the columns of the latest. Not safe for concurrent use.
	Encoder() (dest.Encoder, error)
}

// tableRows is Rows of a table in OpenMLDB.
type tableRows struct {
	set  *row.Set
	make func(*row.Set) (dest.Encoder, error)
}

// newRows reads the table's schema and the task's format.
func newRows(info *nspb.TableInfo, spec *coord.TaskSpec) (Rows, error) {
	set, err := row.SetOfInfo(info)
	if err != nil {
		return nil, fmt.Errorf("schema of %s.%s: %w", spec.DB, spec.Table, err)
	}
	zone := time.Local
	if spec.TimeZone != "" {
		if zone, err = time.LoadLocation(spec.TimeZone); err != nil {
			return nil, fmt.Errorf("time zone of %s.%s: %w", spec.DB, spec.Table, err)
		}
	}
	if spec.Format != formatCSV {
		return nil, fmt.Errorf("format %q of %s.%s is not known: use csv", spec.Format, spec.DB, spec.Table)
	}
	r := &tableRows{set: set, make: func(set *row.Set) (dest.Encoder, error) {
		return dest.NewCSV(set, set.Latest(), dest.Dialect(spec.Dialect), zone)
	}}
	if _, err := r.Encoder(); err != nil {
		return nil, err
	}
	return r, nil
}

const formatCSV = "csv"

func (r *tableRows) Latest() uint8                  { return r.set.Latest().ID() }
func (r *tableRows) Encoder() (dest.Encoder, error) { return r.make(r.set) }

func (r *tableRows) Split(b []byte) (int, error) {
	n, err := row.Size(b)
	if err != nil {
		return 0, err
	}
	if n <= 0 || n > len(b) {
		return 0, fmt.Errorf("a row of %d bytes in the last %d of its batch", n, len(b))
	}
	_, err = r.set.Check(b[:n])
	return n, err
}
