package conf

// Log is where and how a daemon writes its log.
type Log struct {
	Dir         string // empty = stderr
	Level       string // debug, info, warning, error
	Format      string // text, json
	MaxBytes    int64  // of one file before it is rotated
	MaxFiles    int    // rotated files kept, 0 = all
	OverdueDays int    // rotated files older than this go, 0 = never
}
