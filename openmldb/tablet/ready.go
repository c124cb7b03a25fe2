package tablet

import (
	"errors"
	"fmt"
	"path"

	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/pb/commonpb"
)

// Why a partition cannot be read now; Ready wraps one of them.
var (
	// ErrMemory: only SSD and HDD tables are on disk.
	ErrMemory = errors.New("a memory table is not on disk")
	// ErrLoading: it will be ready by itself.
	ErrLoading = errors.New("the tablet is still loading it")
	// ErrTooOld: tablets before 0.8.0 do not tell paths.
	ErrTooOld = errors.New("the tablet is too old (OpenMLDB 0.7.3 or earlier): it does not tell where the data lies")
	// ErrPath: collector and tablet run in different directories, so a relative path leads nowhere.
	ErrPath = errors.New("the tablet's path is not absolute: set absolute ssd_root_path/hdd_root_path in tablet.flags")
)

// Ready tells whether the partition behind s can be pinned and read (formats.md §2.6).
func Ready(s *apipb.TableStatus) error {
	what := fmt.Sprintf("table %s (tid %d) partition %d", s.GetName(), s.GetTid(), s.GetPid())
	switch s.GetStorageMode() {
	case commonpb.StorageMode_kSSD, commonpb.StorageMode_kHDD:
	default: // absent means kMemory
		return fmt.Errorf("%s: %w", what, ErrMemory)
	}
	if s.GetState() == apipb.TableState_kTableLoading || s.GetState() == apipb.TableState_kTableUndefined {
		return fmt.Errorf("%s: %w", what, ErrLoading)
	}
	if s.GetSnapshotPath() == "" || s.GetBinlogPath() == "" {
		if s.GetState() != apipb.TableState_kTableNormal { // newer tablets leave them out, too, while they are not ready
			return fmt.Errorf("%s: %w", what, ErrLoading)
		}
		return fmt.Errorf("%s: %w", what, ErrTooOld)
	}
	for _, p := range []string{s.GetSnapshotPath(), s.GetBinlogPath()} {
		if !path.IsAbs(p) {
			return fmt.Errorf("%s: %q: %w", what, p, ErrPath)
		}
	}
	return nil
}

// Leader tells whether the tablet sees itself as the partition's leader.
func Leader(s *apipb.TableStatus) bool { return s.GetMode() == apipb.TableMode_kTableLeader }
