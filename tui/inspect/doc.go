// Package inspect is `omsync-tui inspect`: what lies in the files of a partition, as JSON lines, for people who look into them by hand. It needs
// neither a cluster nor a daemon, writes nothing, and streams: memory does not grow with the files.
//
// What is whole is printed even where something is damaged; damage is told on standard error, with file and position, and by exit code 1.
//
// What does not belong here: reading the files themselves (openmldb/snapshot, openmldb/binlog, openmldb/row).
package inspect
