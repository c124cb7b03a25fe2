// Package daemons runs omsync's daemons as the processes they are: built by go build, started with conf files of their own in a directory of the
// caller, killed, stopped, waited for. End-to-end tests and the demo use it.
//
// A process is the leader of its own group and dies with its parent, so nothing is left behind, whatever happens to a test.
//
// What does not belong here: what the daemons are asked (the caller has clients), tablets (testenv/cluster).
package daemons
