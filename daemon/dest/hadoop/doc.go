// Package hadoop reads Hadoop's client configuration: core-site.xml and hdfs-site.xml with ${} and included files, nameservices and where their
// NameNodes are, and the handful of keys that a writer of files needs.
//
// What does not belong here: connections (daemon/dest/hdfs).
package hadoop
