// Command data_collector is the daemon of a tablet's host: it reads the files of the tablets there and sends their rows to the leading synctool. All it
// does itself is to read the conf file and to hand connections to daemon/collector.
package main
