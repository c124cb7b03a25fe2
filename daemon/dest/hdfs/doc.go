// Package hdfs is the destination in HDFS. It speaks two protocols: Hadoop's own RPC and block protocol by github.com/colinmarc/hdfs ("native"), and
// WebHDFS.
//
// The native client is fast and has no pipeline recovery: one DataNode that is down and not yet missed by the NameNode fails every file that is to
// lie there. So (dest.hdfs_transport=auto) a failed block set-up sends the files that follow through WebHDFS for a while, whose DataNode does the
// recovery. What else the native client needs and gets here:
//
//   - lines (line.go) that give up after a silence and stay closed once they failed, to NameNodes and DataNodes: it has no time-outs, and goes on
//     using a broken connection;
//   - sessions (session.go): a client belongs to one caller at a time, is thrown away after the first error that is not a NameNode's plain answer,
//     and does not grow old, since it keeps its encryption key for ever;
//   - a writer (writer.go) for which "replication in progress" counts after clean writes only, and which never closes twice;
//   - a directory (dir.go) that makes parents, never renames over a file, and applies replication, block size and umask of the conf itself.
//
// What does not belong here: names of files, retries (daemon/synctool writes a whole segment again under a new name).
package hdfs
