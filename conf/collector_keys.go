package conf

import (
	"math"
	"time"
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
)

func collectorKeys(c *Collector) keys {
	brpc := "a setting of brpc or of the write-open RocksDB that this collector does not use"
	pace := "this collector sends while there is data, it does not pace itself"
	k := newKeys([]*Key{
		{Name: "endpoint", Shipped: "127.0.0.1:8888", Upstream: true, Required: true, set: endpoint(&c.Endpoint, false),
			Help: "Address to listen on, and name of this collector in ZooKeeper. The host text must equal that of the tablets on this host."},
		{Name: "advertise", set: endpoint(&c.Advertise, true),
			Help: "Address the synctool dials, when it is not the endpoint."},
		{Name: "zk_cluster", Shipped: "127.0.0.1:2181", Upstream: true, Required: true, set: servers(&c.ZooKeeper),
			Help: "ZooKeeper servers, host:port, separated by commas."},
		{Name: "zk_root_path", Shipped: "/openmldb_cluster", Upstream: true, Default: "/openmldb", set: znode(&c.ZooKeeperRoot),
			Help: "OpenMLDB's root node."},
		{Name: "zk_session_timeout", Upstream: true, Default: "2000", Unit: "ms", set: duration(&c.SessionTimeout, time.Millisecond, 500*time.Millisecond, 5*time.Minute),
			Help: "ZooKeeper session time-out. A standby takes over after about this long."},
		{Name: "zk_keep_alive_check_interval", Upstream: true, Default: "15000", Unit: "ms", Ignored: "the session is watched, not polled",
			Help: "Upstream's check of its registration."},
		{Name: "zk_auth_schema", Upstream: true, Default: "digest", set: oneOf(&c.AuthSchema, "digest"),
			Help: "Scheme of zk_cert."},
		{Name: "zk_cert", Upstream: true, Secret: true, set: text(&c.AuthCert),
			Help: "user:password for ZooKeeper; empty = no authentication."},
		{Name: "collector_datadir", Shipped: "/tmp/data_collector", Upstream: true, Default: "/tmp/openmldb/datacollector", set: text(&c.DataDir),
			Help: "Work directory. Must lie on the same file system as the tablets' data (files are hard-linked), owned by the tablets' user, one per collector."},
		{Name: "max_pack_size", Upstream: true, Default: "1048576", Unit: "bytes", set: size(&c.MaxPackSize, 4*kib, 32*mib),
			Help: "Row bytes in one message to the synctool. A larger row travels alone, up to 64 MiB."},
		{Name: "request_timeout_ms", Upstream: true, Default: "20000", Unit: "ms", set: duration(&c.RequestTimeout, time.Millisecond, 100*time.Millisecond, 10*time.Minute),
			Help: "Deadline of a call to a tablet."},
		{Name: "socket_max_unwritten_bytes", Upstream: true, Default: "67108864", Unit: "bytes", set: size(&c.SocketMaxBytes, mib, 4*gib),
			Help: "Bytes in flight per connection; over it a call is answered 1011 / RESOURCE_EXHAUSTED / 503."},
		{Name: "process_max_inflight_bytes", Default: "256MiB", Unit: "bytes", set: size(&c.ProcessMaxBytes, mib, 64*gib),
			Help: "Bytes in flight over all connections of this process."},
		{Name: "enable_status_service", Upstream: true, Default: "true", set: boolean(&c.StatusService),
			Help: "Serve GET /status."},
		{Name: "handoff_settle_ms", Default: "60000", Unit: "ms", set: duration(&c.HandoffSettle, time.Millisecond, 0, time.Hour),
			Help: "Age a checkpoint must have before the end of the log is read as the hand-off position z (design.md §5.1). A put that takes longer from RocksDB to the log is outside the claim."},
		{Name: "handoff_clock_tolerance_ms", Default: "300000", Unit: "ms", set: duration(&c.HandoffClockTolerance, time.Millisecond, 0, 24*time.Hour),
			Help: "How far clients' clocks may be off when a TRUNCATE before the snapshot is told from a put after it (design.md §5.1)."},
		{Name: "replication_settle_ms", Default: "5000", Unit: "ms", set: duration(&c.ReplicationSettle, time.Millisecond, 0, 10*time.Minute),
			Help: "Where a partition has followers, log entries younger than this are not exported yet: a put is acknowledged before it is replicated."},
		{Name: "hold_budget_bytes", Default: "100GiB", Unit: "bytes", set: size(&c.HoldBudget, 0, math.MaxInt64),
			Help: "Bytes of tablet files that only our links keep alive. Warned at 80 %; over it the largest standby hold is dropped or, without one, " +
				"the largest hold, whose subtask fails. 0 = no bound."},
		{Name: "plan_memory_bytes", Default: "64MiB", Unit: "bytes", set: size(&c.PlanMemory, mib, 16*gib),
			Help: "Memory for sorting the retained log of one partition at the hand-off; more is sorted on disk in collector_datadir."},
		{Name: "openmldb_log_dir", Shipped: "./logs", Upstream: true, Default: "./logs", set: text(&c.Log.Dir),
			Help: "Directory of data_collector.log; empty = standard error."},
		{Name: "log_level", Shipped: "info", Upstream: true, Default: "info", set: oneOf(&c.Log.Level, "debug", "info", "warning", "error"),
			Help: "Least level that is logged."},
		{Name: "log_format", Default: "text", set: oneOf(&c.Log.Format, "text", "json"),
			Help: "text or json."},
		{Name: "log_max_bytes", Default: "100MiB", Unit: "bytes", set: size(&c.Log.MaxBytes, mib, 64*gib),
			Help: "A log file is rotated at this size."},
		{Name: "log_max_files", Default: "10", set: integer(&c.Log.MaxFiles, 0, 10000),
			Help: "Rotated files kept; 0 = all."},
		{Name: "log_overdue_days", Upstream: true, Default: "0", set: integer(&c.Log.OverdueDays, 0, 36500),
			Help: "Rotated files older than this go; 0 = never."},
		{Name: "task_thread_pool_size", Upstream: true, Default: "32", Ignored: brpc, Help: "Upstream's worker threads."},
		{Name: "thread_pool_size", Upstream: true, Default: "16", Ignored: brpc, Help: "Upstream's RPC threads."},
		{Name: "sync_task_long_interval_ms", Upstream: true, Default: "5000", Unit: "ms", Ignored: pace, Help: "Upstream's pause at the end of the log."},
		{Name: "sync_task_short_interval_ms", Upstream: true, Default: "1000", Unit: "ms", Ignored: pace, Help: "Upstream's pause between packs."},
		{Name: "binlog_name_length", Upstream: true, Default: "8", Ignored: "log files are found by their names, whatever the width", Help: "Digits of a log file's name."},
		{Name: "binlog_enable_crc", Upstream: true, Default: "false", Ignored: "checksums are always verified", Help: "Upstream's switch for checksums."},
		{Name: "disable_wal", Upstream: true, Default: "true", Ignored: brpc, Help: "RocksDB."},
		{Name: "block_cache_mb", Upstream: true, Default: "4096", Ignored: brpc, Help: "RocksDB."},
		{Name: "write_buffer_mb", Upstream: true, Default: "128", Ignored: brpc, Help: "RocksDB."},
		{Name: "block_cache_shardbits", Upstream: true, Default: "8", Ignored: brpc, Help: "RocksDB."},
		{Name: "max_log_file_size", Upstream: true, Default: "0", Ignored: brpc, Help: "RocksDB."},
		{Name: "keep_log_file_num", Upstream: true, Default: "5", Ignored: brpc, Help: "RocksDB."},
		{Name: "role", Upstream: true, Default: "", Ignored: "this program has one role", Help: "Upstream's choice of server."},
		{Name: "glog_dir", Upstream: true, Default: "", Ignored: "use openmldb_log_dir", Help: "Upstream's clients' log directory."},
		{Name: "glog_level", Upstream: true, Default: "0", Ignored: "use log_level", Help: "Upstream's clients' log level."},
		{Name: "use_name", Upstream: true, Default: "false", Ignored: "names are resolved wherever ZooKeeper has them", Help: "Upstream's server names."},
	})
	k.foreign = foreign
	return k
}
