package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"

	"omsync/openmldb/pb/apipb"
)

const manifestLimit = 64 << 10 // bytes; a MANIFEST has four short lines

// ReadManifest reads snapshot/MANIFEST (formats.md §3.2), which names the current checkpoint directory. ErrNoManifest means that there is none.
// The tablet replaces the file by rename, so it is whole; the directory it names can vanish as soon as the next MANIFEST is there.
func ReadManifest(fsys FS, snapshotDir string) (*apipb.Manifest, error) {
	name := filepath.Join(snapshotDir, "MANIFEST")
	b, err := readSmall(fsys, name, manifestLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoManifest
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot manifest: %w", err)
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("read snapshot manifest: %w", corrupt(name, 0, "%v", err))
	}
	return m, nil
}

func parseManifest(b []byte) (*apipb.Manifest, error) {
	m := &apipb.Manifest{}
	if err := (prototext.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, m); err != nil {
		return nil, err
	}
	// The name is joined to a path: it must not lead anywhere else.
	n := m.GetName()
	if m.Name == nil || n == "" || n == "." || n == ".." || strings.ContainsAny(n, "/\\\x00") {
		return nil, fmt.Errorf("name %q is not the name of a directory", n)
	}
	if m.Offset == nil {
		return nil, errors.New("there is no offset")
	}
	return m, nil
}
