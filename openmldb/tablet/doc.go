// Package tablet asks TabletServers what they hold of a partition: its state, its paths on disk, its schema (formats.md §2.6).
//
// A Client runs on any grpc.ClientConnInterface; in the product that is baidu_std, the protocol tablets serve well. Pool keeps one
// connection per address.
//
// What does not belong here: the transport, reading the paths, deciding what to do about an answer.
package tablet
