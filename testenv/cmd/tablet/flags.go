package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"omsync/openmldb/pb/commonpb"
	"omsync/testenv/load"
	"omsync/testenv/tabletsim"
)

const help = `tablet runs simulated OpenMLDB TabletServers and writes to their tables.

  go run -tags rocksdb ./testenv/cmd/tablet --zk 127.0.0.1:2181 --table demo.t1:partitions=4,ttl=60 --rate 2000
  go run ./testenv/cmd/tablet --zk 127.0.0.1:2181 --serve testdata/disk:tid=102,partitions=4,name=demo.orders --rate 500

The tablets listen on 127.0.0.2, 127.0.0.3, … (one address each, as different hosts have) and register in ZooKeeper as TabletServers do, so that a
data_collector whose --endpoint is on the same address serves them. The tablets' endpoints and the tables are printed first, then a line every 10 s.
SIGTERM or ctrl-C ends it; the ZooKeeper nodes of the tables stay.

--table DB.NAME[:OPTION,…]  (again for more tables) creates a table with columns of every type. Options:
    partitions=N   default 4              replicas=N   default 1
    ttl=MINUTES    absolute TTL           latest=ROWS  latest-N TTL
    storage=hdd    default ssd            snappy       rows compressed
--serve DIR:tid=T,partitions=N[,name=DB.NAME][,tag=COLUMN]  copies the partition directories DIR/<T>_<0..N-1> below --dir and serves the copies; the
    load's tags go into COLUMN, a string column outside the indexes (default: the last such column).

Flags:
`

// usage marks an error of the command line.
type usage struct{ error }

func isUsage(err error) bool {
	var u usage
	return errors.As(err, &u)
}

// conf is the command line.
type conf struct {
	zk, root, dir  string
	tablets        int
	names          bool
	tables         []tabletsim.Spec
	serve          []served
	rate           float64
	writers, keys  int
	seed           uint64
	snapshotEvery  time.Duration
	trimEvery      time.Duration
	logBytes       int64
	jitter         time.Duration
	sessionTimeout time.Duration
	every          time.Duration
}

// served is a --serve.
type served struct {
	from       string
	tid        uint32
	partitions int
	db, name   string
	tag        string
}

func parse(args []string, out io.Writer) (conf, error) {
	var c conf
	f := flag.NewFlagSet("tablet", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.zk, "zk", "", "ZooKeeper servers, `host:port,…` (required)")
	f.StringVar(&c.root, "root", "/openmldb", "OpenMLDB's root node, zk_root_path")
	f.StringVar(&c.dir, "dir", "", "`directory` of the tablets' data (required); a collector's datadir must be on the same file system")
	f.IntVar(&c.tablets, "tablets", 1, "`number` of tablets")
	f.BoolVar(&c.names, "use-name", false, "give the tablets server names instead of addresses")
	f.Func("table", "create a table, see above", func(s string) error {
		t, err := parseTable(s)
		c.tables = append(c.tables, t)
		return err
	})
	f.Func("serve", "serve finished partition directories, see above", func(s string) error {
		t, err := parseServe(s)
		c.serve = append(c.serve, t)
		return err
	})
	f.Float64Var(&c.rate, "rate", 100, "`rows` written per second and table; 0 = none, -1 = as fast as it goes")
	f.IntVar(&c.writers, "writers", 4, "`number` of writers per table")
	f.IntVar(&c.keys, "keys", 1000, "`number` of different keys")
	f.Uint64Var(&c.seed, "seed", 1, "seed of what is written")
	f.DurationVar(&c.snapshotEvery, "snapshot-every", time.Minute, "`time` between snapshots of a partition; 0 = never (needs a build with -tags rocksdb)")
	f.DurationVar(&c.trimEvery, "trim-every", time.Minute, "`time` between deletions of old log files (binlog_delete_interval); 0 = never")
	f.Int64Var(&c.logBytes, "log-bytes", 16<<20, "`size` at which a log file ends")
	f.DurationVar(&c.jitter, "jitter", time.Millisecond, "longest `time` of a put between RocksDB and the log")
	f.DurationVar(&c.sessionTimeout, "session-timeout", 2*time.Second, "ZooKeeper session time-out")
	f.DurationVar(&c.every, "every", 10*time.Second, "`time` between lines of progress")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, help)
			f.SetOutput(out)
			f.PrintDefaults()
			return c, err
		}
		return c, usage{err}
	}
	switch {
	case f.NArg() > 0:
		return c, usage{fmt.Errorf("%q is no flag", f.Arg(0))}
	case c.zk == "" || c.dir == "":
		return c, usage{errors.New("--zk and --dir are needed")}
	case len(c.tables)+len(c.serve) == 0:
		return c, usage{errors.New("no table: give --table or --serve")}
	case c.tablets < 1 || c.tablets > 250:
		return c, usage{errors.New("--tablets is from 1 to 250")}
	case c.writers < 1 || c.keys < 1:
		return c, usage{errors.New("--writers and --keys are at least 1")}
	}
	return c, nil
}

// options splits NAME:key=value,… ; a key without a value has "".
func options(s string) (name string, opts map[string]string, err error) {
	name, rest, _ := strings.Cut(s, ":")
	opts = map[string]string{}
	for _, o := range strings.Split(rest, ",") {
		if o == "" {
			continue
		}
		k, v, _ := strings.Cut(o, "=")
		opts[k] = v
	}
	if name == "" {
		return "", nil, errors.New("a name is needed before the colon")
	}
	return name, opts, nil
}

func number(opts map[string]string, key string, def, most int) (int, error) {
	v, ok := opts[key]
	delete(opts, key)
	if !ok {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s=%s: a number from 1 to %d is needed", key, v, most)
	}
	return n, nil
}

func dbAndName(s string) (db, name string, err error) {
	db, name, ok := strings.Cut(s, ".")
	if !ok || db == "" || name == "" {
		return "", "", fmt.Errorf("%q is no DB.NAME", s)
	}
	return db, name, nil
}

func parseTable(s string) (tabletsim.Spec, error) {
	full, opts, err := options(s)
	if err != nil {
		return tabletsim.Spec{}, err
	}
	db, name, err := dbAndName(full)
	if err != nil {
		return tabletsim.Spec{}, err
	}
	var n [4]int
	for i, o := range []struct {
		key       string
		def, most int
	}{{"partitions", 4, 1024}, {"replicas", 1, 16}, {"ttl", 0, 1 << 30}, {"latest", 0, 1 << 30}} {
		if n[i], err = number(opts, o.key, o.def, o.most); err != nil {
			return tabletsim.Spec{}, err
		}
	}
	t := load.Wide(db, name, n[0], n[1])
	t.Indexes[0].AbsTTL, t.Indexes[0].LatTTL = uint64(n[2]), uint64(n[3])
	t.Indexes[0].TTLType = ttlType(n[2], n[3])
	for k, v := range opts {
		switch {
		case k == "snappy" && v == "":
			t.Snappy = true
		case k == "storage" && v == "hdd":
			t.Storage = commonpb.StorageMode_kHDD
		case k == "storage" && v == "ssd":
			t.Storage = commonpb.StorageMode_kSSD
		default:
			return t, fmt.Errorf("option %s=%s is unknown", k, v)
		}
	}
	return t, nil
}

func parseServe(s string) (served, error) {
	from, opts, err := options(s)
	if err != nil {
		return served{}, err
	}
	v := served{from: from, tag: opts["tag"]}
	delete(opts, "tag")
	tid, err := number(opts, "tid", 0, 1<<31-1)
	if err != nil {
		return v, err
	}
	v.tid = uint32(tid)
	if v.partitions, err = number(opts, "partitions", 0, 1024); err != nil {
		return v, err
	}
	if v.tid == 0 || v.partitions == 0 {
		return v, errors.New("tid=T and partitions=N are needed")
	}
	if full, ok := opts["name"]; ok {
		delete(opts, "name")
		if v.db, v.name, err = dbAndName(full); err != nil {
			return v, err
		}
	}
	for k := range opts {
		return v, fmt.Errorf("option %s is unknown", k)
	}
	return v, nil
}
