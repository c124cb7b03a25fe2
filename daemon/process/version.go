package process

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set by the build: -ldflags "-X omsync/daemon/process.release=…".
var release = "dev"

// Version is the release, the commit it was built from and the Go version, for /version and --version.
func Version() string {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				commit = " " + s.Value[:12]
			}
		}
	}
	return fmt.Sprintf("omsync %s%s %s", release, commit, runtime.Version())
}

// Release is the release alone, as it is registered in ZooKeeper.
func Release() string { return release }
