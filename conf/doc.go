// Package conf reads the daemons' conf files: gflags flagfiles for the collector, Java properties for the synctool.
//
// Every key is declared once, in collector_keys.go and synctool_keys.go, with its default, unit and meaning; the shipped files of this
// directory and docs/configuration.md are checked against those tables in tests. Upstream's keys (formats.md §9) keep their names and
// meanings; those that have no use here are accepted with a warning, other unknown keys are refused with the nearest known one.
//
// What does not belong here: what the daemons do with a value. The mains in cmd/ map a Collector or Synctool onto the daemons' Options.
package conf
