// Package process is what the two daemons' processes have in common: log files, the end by signal, exit codes, the version.
//
// What does not belong here: what a daemon does, and how its conf file is read (conf).
package process
