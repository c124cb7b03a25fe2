//go:build !rocksdb

package tabletsim

// DefaultEngine of this build.
func DefaultEngine() Engine { return NoEngine{} }
