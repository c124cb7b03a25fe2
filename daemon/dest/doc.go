// Package dest writes files: destinations (Dest: local directories here, HDFS in hdfs/), where they may be (Parse), and the text of rows
// (Encoder: CSV, docs/formats.md §8).
//
// A Dest is rooted at one task's directory. It promises what the commit machine builds on: nothing is overwritten, what was renamed stays renamed, a
// file is whole or not there.
//
// What does not belong here: names of files, when they are written, what they mean (daemon/synctool).
package dest
