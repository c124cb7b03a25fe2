// Package state is what console and ctl show of a cluster: rows with roll-ups, lag and ages, made of what the synctool and ZooKeeper say,
// and the JSON that scripts read. It knows no terminal.
//
// The JSON names are a contract: fields are added, never renamed. Tokens are left out everywhere.
//
// What does not belong here: talking to anything, colours, glyphs, widths.
package state
