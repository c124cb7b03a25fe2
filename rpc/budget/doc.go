// Package budget counts bytes in flight against caps, so that no peer can make a daemon grow (docs/design.md §4.1).
//
// A Budget is a cap with a name: the conf key an operator changes to move it. A connection's Budget is a child of the process's;
// a reservation counts in both or in neither. A Lease gathers what one call holds and gives it back at the call's end.
//
// What does not belong here: sockets, protocols and what to answer when a cap is reached.
package budget
