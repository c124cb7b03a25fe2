package tabletsim

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
)

// logFile is one file of a binlog with the index of its first entry.
type logFile struct {
	num   uint64
	first uint64
}

func logName(num uint64) string { return fmt.Sprintf("%08d.log", num) }

// replay reads a whole log directory as a starting tablet does: torn tails are passed over, checksums not looked at. f may stop it by an error.
func replay(dir string, f func(num uint64, e *apipb.LogEntry) error) error {
	des, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("replay log: %w", err)
	}
	var nums []uint64
	for _, de := range des {
		if digits, ok := strings.CutSuffix(de.Name(), ".log"); ok {
			n, err := strconv.ParseUint(digits, 10, 64)
			if err != nil {
				return fmt.Errorf("replay log: %s is no log file", de.Name())
			}
			nums = append(nums, n)
		}
	}
	slices.Sort(nums)
	for _, n := range nums {
		b, err := os.ReadFile(filepath.Join(dir, logName(n)))
		if err != nil {
			return fmt.Errorf("replay log: %w", err)
		}
		if err := replayFile(b, func(payload []byte) error {
			e := &apipb.LogEntry{}
			if err := proto.Unmarshal(payload, e); err != nil {
				return fmt.Errorf("replay log: entry in %s: %w", logName(n), err)
			}
			return f(n, e)
		}); err != nil {
			return err
		}
	}
	return nil
}

// replayFile visits the whole logical records of one file (formats.md §4.2).
func replayFile(b []byte, f func(payload []byte) error) error {
	const block, header = 4096, 7
	var part []byte
	for off := 0; ; {
		if left := block - off%block; left < header {
			off += left
		}
		if off+header > len(b) {
			return nil
		}
		n, typ := int(binary.LittleEndian.Uint16(b[off+4:])), b[off+6]
		if n == 0 && typ == 0 {
			off += block - off%block
			continue
		}
		if typ > 4 || off+header+n > len(b) {
			return nil
		}
		p := b[off+header : off+header+n]
		off += header + n
		switch typ {
		case 1, 2:
			part = slices.Clone(p)
		default:
			part = append(part, p...)
		}
		if typ == 1 || typ == 4 {
			if err := f(part); err != nil {
				return err
			}
		}
	}
}
