package conf

import (
	"fmt"
	"math"
	"regexp"
	"time"
)

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_.]*$`)

func synctoolKeys(s *Synctool) keys {
	pool := "threads are not pooled here"
	flink := "a leftover of a Flink sink, without effect upstream too"
	return newKeys([]*Key{
		{Name: "server.host", Shipped: "0.0.0.0", Upstream: true, Default: "0.0.0.0", set: text(&s.Host),
			Help: "Address to listen on."},
		{Name: "server.port", Shipped: "8848", Upstream: true, Required: true, set: integer(&s.Port, 1, 65535),
			Help: "Port to listen on, for baidu_std, HTTP and gRPC alike."},
		{Name: "server.advertise", set: endpoint(&s.Advertise, true),
			Help: "host:port that collectors and consoles dial. Default: server.host, or the host's name when that is 0.0.0.0."},
		{Name: "zookeeper.cluster", Shipped: "127.0.0.1:2181", Upstream: true, Required: true, set: servers(&s.ZooKeeper),
			Help: "ZooKeeper servers, host:port, separated by commas."},
		{Name: "zookeeper.root_path", Shipped: "/openmldb_cluster", Upstream: true, Required: true, set: znode(&s.ZooKeeperRoot),
			Help: "OpenMLDB's root node."},
		{Name: "zookeeper.cert", Upstream: true, Secret: true, set: text(&s.ZooKeeperCert),
			Help: "user:password for ZooKeeper; empty = no authentication."},
		{Name: "zookeeper.session_timeout", Default: "6000", Unit: "ms", set: duration(&s.SessionTimeout, time.Millisecond, 500*time.Millisecond, 5*time.Minute),
			Help: "ZooKeeper session time-out. A standby synctool takes over after about this long."},
		{Name: "cluster.name", set: func(v string) error {
			if !clusterName.MatchString(v) {
				return fmt.Errorf("%q may hold only letters, digits, dots and underscores", v)
			}
			s.Cluster = v
			return nil
		}, Help: "Name of this cluster at the destination (stage files, owner.json). Default: zookeeper.root_path. Two clusters that write under one destination need two names."},
		{Name: "user", Upstream: true, Default: "root", set: text(&s.User),
			Help: "SQL user; calls to tablets are made as the cluster's own service."},
		{Name: "password", Upstream: true, Secret: true, set: text(&s.Password),
			Help: "Password of user."},
		{Name: "sync_task.progress_path", Shipped: "/tmp/sync_task_progress", Upstream: true, Required: true, set: text(&s.ProgressPath),
			Help: "Directory of the progress mirror (upstream's format, for the helper's tool-status). The truth is in ZooKeeper."},
		{Name: "sync_task.check_period", Shipped: "10", Upstream: true, Default: "10", Unit: "s", set: duration(&s.CheckPeriod, time.Second, time.Second, time.Hour),
			Help: "A collector that says nothing for 2 to 3 of these is given up and its subtasks are reassigned; it says something every second."},
		{Name: "sync_task.assign_timeout", Default: "60", Unit: "s", set: duration(&s.AssignTimeout, time.Second, time.Second, 24*time.Hour),
			Help: "How long a subtask waits for a collector as REASSIGNING before it is FAILED; counted only while ZooKeeper is connected."},
		{Name: "request.timeout", Shipped: "5", Upstream: true, Default: "5", Unit: "s", set: duration(&s.Request, time.Second, 100*time.Millisecond, 10*time.Minute),
			Help: "Deadline of a call to a collector."},
		{Name: "spool.path", set: text(&s.SpoolPath),
			Help: "Local directory where segments are built before they go to a remote destination. Default: sync_task.progress_path + .spool."},
		{Name: "spool.max_bytes", Default: "20GiB", Unit: "bytes", set: size(&s.SpoolMax, 64*mib, math.MaxInt64),
			Help: "Bound of the spool; at it, collectors are told to wait."},
		{Name: "segment_bytes", Default: "64MiB", Unit: "bytes", set: size(&s.SegmentBytes, 4*kib, 16*gib),
			Help: "A segment is closed and committed at this size: one file at the destination."},
		{Name: "segment_age", Default: "60", Unit: "s", set: duration(&s.SegmentAge, time.Second, 100*time.Millisecond, 24*time.Hour),
			Help: "A segment is committed at this age, however small."},
		{Name: "dest.default_fs", set: text(&s.DefaultFS),
			Help: "File system of a destination written as a plain path: file:/// or hdfs://host:port. Default: fs.defaultFS of the Hadoop conf."},
		{Name: "dest.allowed_prefixes", set: list(&s.AllowedPrefixes),
			Help: "Local directories that file:/// destinations may lie in, separated by commas. No default: without it local destinations are refused."},
		{Name: "dest.format", Default: "csv", set: oneOf(&s.Format, "csv"),
			Help: "Format of new tasks."},
		{Name: "dest.csv_dialect", Default: "upstream", set: oneOf(&s.Dialect, "upstream", "standard"),
			Help: "upstream: the Java SyncTool's exact text. standard: UTF-8 as it is, quotes doubled, null is the empty field; read without loss by common CSV readers."},
		{Name: "dest.deletes", Default: "ignore", set: oneOf(&s.Deletes, "ignore", "log"),
			Help: "What new tasks do with the deletes of the log phase. ignore: they are counted. log: each is a line in a file of deletes beside the data, docs/operating.md."},
		{Name: "dest.time_zone", set: zone(&s.TimeZone),
			Help: "Time zone of timestamps in CSV, like Asia/Shanghai. Default: the machine's."},
		{Name: "hadoop.conf.dir", Upstream: true, set: text(&s.HadoopConfDir),
			Help: "Directory of core-site.xml and hdfs-site.xml. Default: HADOOP_CONF_DIR, else HADOOP_HOME/etc/hadoop."},
		{Name: "dest.hdfs_transport", Default: "auto", set: oneOf(&s.HDFSTransport, "auto", "native", "webhdfs"),
			Help: "How files get to HDFS. native: Hadoop's RPC, straight to the DataNodes; fast, but one that is down fails files until the NameNode misses it. webhdfs: over HTTP; the DataNode that takes a file deals with others that are down. auto: native, and webhdfs for a while after a DataNode failed."},
		{Name: "dest.hdfs_timeout", Default: "30", Unit: "s", set: duration(&s.HDFSTimeout, time.Second, time.Second, 10*time.Minute),
			Help: "How long a NameNode or DataNode may say nothing before a file is written again. Over webhdfs a DataNode has more, for it waits for others: twice dfs.client.socket-timeout of the Hadoop conf and 10 s per copy."},
		{Name: "hadoop.kerberos.principal", set: text(&s.Principal),
			Help: "Who the synctool is where the Hadoop conf asks for Kerberos: name@REALM. Without Kerberos it is HADOOP_USER_NAME, else the system's user."},
		{Name: "hadoop.kerberos.keytab", set: text(&s.Keytab),
			Help: "File with that principal's key; tickets are got and renewed with it."},
		{Name: "hadoop.kerberos.krb5_conf", set: text(&s.Krb5Conf),
			Help: "Kerberos' conf file. Default: KRB5_CONFIG, else /etc/krb5.conf."},
		{Name: "ingest.subtask_credit", Default: "8MiB", Unit: "bytes", set: size(&s.SubtaskCredit, mib, 256*mib),
			Help: "Row bytes that one subtask may have under way from its collector."},
		{Name: "socket_max_unwritten_bytes", Default: "64MiB", Unit: "bytes", set: size(&s.SocketMaxBytes, mib, 4*gib),
			Help: "Bytes in flight per connection; over it a call is answered 1011 / RESOURCE_EXHAUSTED / 503."},
		{Name: "process_max_inflight_bytes", Default: "256MiB", Unit: "bytes", set: size(&s.ProcessMaxBytes, mib, 64*gib),
			Help: "Bytes in flight over all connections of this process."},
		{Name: "api.allow_clear_all", Default: "false", set: boolean(&s.AllowClearAll),
			Help: "Allow TaskStatus with clear_all, which drops every task."},
		{Name: "log.dir", Shipped: "./logs", Default: "./logs", set: text(&s.Log.Dir),
			Help: "Directory of synctool.log; empty = standard error."},
		{Name: "log.level", Default: "info", set: oneOf(&s.Log.Level, "debug", "info", "warning", "error"),
			Help: "Least level that is logged."},
		{Name: "log.format", Default: "text", set: oneOf(&s.Log.Format, "text", "json"),
			Help: "text or json."},
		{Name: "log.max_bytes", Default: "100MiB", Unit: "bytes", set: size(&s.Log.MaxBytes, mib, 64*gib),
			Help: "A log file is rotated at this size."},
		{Name: "log.max_files", Default: "10", set: integer(&s.Log.MaxFiles, 0, 10000),
			Help: "Rotated files kept; 0 = all."},
		{Name: "log.overdue_days", Default: "0", set: integer(&s.Log.OverdueDays, 0, 36500),
			Help: "Rotated files older than this go; 0 = never."},
		{Name: "server.worker_threads", Upstream: true, Default: "16", Ignored: pool, Help: "Upstream's RPC threads."},
		{Name: "server.io_threads", Upstream: true, Default: "4", Ignored: pool, Help: "Upstream's RPC threads."},
		{Name: "data.cache_path", Shipped: "/tmp/sync_task_cache", Upstream: true, Default: "", Ignored: "read by the helper's tool-status only", Help: "Upstream's cache directory."},
		{Name: "flink.*", Upstream: true, Ignored: flink, Help: "Flink."},
		{Name: "rest.*", Upstream: true, Ignored: flink, Help: "Flink."},
		{Name: "high-availability*", Upstream: true, Ignored: flink, Help: "Flink."},
	})
}
