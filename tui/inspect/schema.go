package inspect

import (
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/nspb"
	"omsync/openmldb/row"
)

// schemaLimit is far more than a TableInfo has: ZooKeeper's nodes hold 1 MiB.
const schemaLimit = 16 << 20

// schema is a table's description and what reads its rows.
type schema struct {
	meta *apipb.TableMeta
	set  *row.Set
}

// loadSchema reads a TableMeta or TableInfo, binary or as protobuf text: the file of --table-info, else the partition's own.
func loadSchema(given string, p *place) (*schema, error) {
	file := given
	if file == "" {
		if file = p.meta; file == "" {
			return nil, usage("rows can not be read without the table's description, and there is no %s in the partition's directory: give --table-info FILE (the value of "+
				"<zk_root_path>/table/db_table_data/<tid>, or a %s of another replica)", metaFile, metaFile)
		}
	}
	b, err := readFile(file)
	if err != nil {
		return nil, usage("table description: %v", err)
	}
	meta, err := parseMeta(b)
	if err != nil {
		return nil, usage("table description %s: %v", file, err)
	}
	set, err := row.SetOfMeta(meta)
	if err != nil {
		return nil, usage("table description %s: %v", file, err)
	}
	return &schema{meta, set}, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing can be lost by it
	b, err := io.ReadAll(io.LimitReader(f, schemaLimit+1))
	if err == nil && len(b) > schemaLimit {
		err = fmt.Errorf("%s has more than %d bytes: no table's description is so long", name, schemaLimit)
	}
	return b, err
}

// parseMeta tells the four forms apart. The texts of both messages name what is needed alike. Of the binary ones, field 1 is the tid of a TableMeta and
// the name of a TableInfo, so that the wrong one has no name.
func parseMeta(b []byte) (*apipb.TableMeta, error) {
	m := &apipb.TableMeta{}
	var textErr error
	if utf8.Valid(b) {
		if textErr = (prototext.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, m); textErr == nil && described(m) {
			return m, nil
		}
	}
	m = &apipb.TableMeta{}
	if proto.Unmarshal(b, m) == nil && described(m) {
		return m, nil
	}
	info := &nspb.TableInfo{}
	if proto.Unmarshal(b, info) == nil {
		if m = metaOf(info); described(m) {
			return m, nil
		}
	}
	if textErr != nil && len(b) > 0 {
		return nil, fmt.Errorf("%d bytes are neither a TableMeta nor a TableInfo, binary or as text (as text: %v)", len(b), textErr)
	}
	return nil, fmt.Errorf("%d bytes are neither a TableMeta nor a TableInfo with a name and columns, binary or as text", len(b))
}

func described(m *apipb.TableMeta) bool { return m.GetName() != "" && len(m.GetColumnDesc()) > 0 }

// metaOf takes over what is needed to read files.
func metaOf(t *nspb.TableInfo) *apipb.TableMeta {
	return &apipb.TableMeta{
		Tid: proto.Int32(int32(t.GetTid())), Name: t.Name, Db: t.Db, ColumnDesc: t.GetColumnDesc(), ColumnKey: t.GetColumnKey(),
		AddedColumnDesc: t.GetAddedColumnDesc(), SchemaVersions: t.GetSchemaVersions(), CompressType: t.CompressType, StorageMode: t.StorageMode,
	}
}
