package synctool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strconv"
	"strings"

	"omsync/daemon/coord"
)

// A key may be as long as a row. One over maxKey bytes lies in a state file of its own, crc32c at its end, and the node's point names file
// and checksum instead (docs/design.md §4.3). A key that looks like such a name is stored the same way, so no key is taken for one.
const (
	maxKey  = 256
	keyMark = "omsync-key-file:"
)

func isKeyRef(key []byte) bool { return strings.HasPrefix(string(key), keyMark) }

// storeKey returns the point as the node keeps it.
func (c *committer) storeKey(ctx context.Context, p coord.Point) (coord.Point, error) {
	if len(p.Key) <= maxKey && !isKeyRef(p.Key) {
		return p, nil
	}
	name := c.names.key()
	sum := crc32.Checksum(p.Key, castagnoli)
	data := binary.LittleEndian.AppendUint32(append([]byte(nil), p.Key...), sum)
	if err := c.files.WriteFile(ctx, name, data); err != nil {
		return p, err
	}
	p.Key = fmt.Appendf(nil, "%s%08x:%s", keyMark, sum, name)
	return p, nil
}

// readKey returns the point as collectors know it.
func (c *committer) readKey(ctx context.Context, p coord.Point) (coord.Point, error) {
	if !isKeyRef(p.Key) {
		return p, nil
	}
	sum, name, err := splitKeyRef(p.Key)
	if err != nil {
		return p, err
	}
	err = c.retrying(ctx, "read the point's key in", func() error {
		b, err := c.files.ReadFile(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return fail(codeDestMissing, "recover --reexport starts the partition again", "%s: the point's key file %s is gone", c.where, name)
		}
		if err != nil {
			return err
		}
		n := len(b) - 4
		if n < 0 || crc32.Checksum(b[:n], castagnoli) != sum || binary.LittleEndian.Uint32(b[n:]) != sum {
			return fail(codeDestMissing, "recover --reexport starts the partition again", "%s: the point's key file %s is damaged", c.where, name)
		}
		p.Key = b[:n]
		return nil
	})
	return p, err
}

func splitKeyRef(key []byte) (sum uint32, name string, err error) {
	hex, name, ok := strings.Cut(strings.TrimPrefix(string(key), keyMark), ":")
	v, err := strconv.ParseUint(hex, 16, 32)
	if !ok || err != nil || !strings.HasPrefix(name, stateDir+"/") || strings.Contains(name, "..") {
		return 0, "", fail(codeInternal, "recover --reexport starts the partition again", "the node's point %q names no key file", key)
	}
	return uint32(v), name, nil
}

// forgetKey removes the file of a point that was passed; what stays is swept.
func (c *committer) forgetKey(ctx context.Context, old, now coord.Point) {
	if isKeyRef(old.Key) && string(old.Key) != string(now.Key) {
		if _, name, err := splitKeyRef(old.Key); err == nil {
			c.discard(ctx, name)
		}
	}
}
