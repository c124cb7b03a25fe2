// Command synctool is the daemon that owns the sync tasks of a cluster: it assigns partitions to collectors, takes their rows and commits them to the
// destination. All it does itself is to read the conf file and to hand connections to daemon/synctool.
package main
