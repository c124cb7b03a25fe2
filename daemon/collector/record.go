package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// A record is a small file of the data directory: a line "omsync-<kind>-<schema> <crc32c>", then JSON. The checksum is that of the JSON.
const recordSchema = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that a record is not what was written, or of a release that is not known here.
var errDamaged = errors.New("the record is damaged")

func writeRecord(fsys FS, path, kind string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	b := fmt.Appendf(nil, "omsync-%s-%d %08x\n", kind, recordSchema, crc32.Checksum(body, castagnoli))
	if err := fsys.WriteFile(path, append(b, body...)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// readRecord fills v. The error is the file system's, or wraps errDamaged.
func readRecord(fsys FS, path, kind string, v any) error {
	b, err := fsys.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	head, body, ok := bytes.Cut(b, []byte{'\n'})
	want := fmt.Sprintf("omsync-%s-%d %08x", kind, recordSchema, crc32.Checksum(body, castagnoli))
	if !ok || string(head) != want {
		if other := fmt.Sprintf("omsync-%s-", kind); ok && bytes.HasPrefix(head, []byte(other)) && !bytes.HasPrefix(head, fmt.Appendf(nil, "%s%d ", other, recordSchema)) {
			return fmt.Errorf("%w: %s is of another release (%q)", errDamaged, path, head)
		}
		return fmt.Errorf("%w: %s: its checksum does not fit its %d bytes", errDamaged, path, len(b))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %s: %w", errDamaged, path, err)
	}
	return nil
}
