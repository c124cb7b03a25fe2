// Package fault carries an omsyncpb.Fault (stable code, reason, hint) in the details of a gRPC status, so that consoles and scripts get
// more than a text.
//
// What does not belong here: the list of codes, which is the daemons' (docs/operating.md).
package fault
