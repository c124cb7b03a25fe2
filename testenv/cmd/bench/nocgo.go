//go:build !rocksdb

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it writes its tables with RocksDB: run it with -tags rocksdb (needs a C compiler and librocksdb-dev, which scripts/setup.sh installs)")
	os.Exit(2)
}
