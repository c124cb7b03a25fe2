package memzk

import "time"

// Request is what a fault is picked by. Of a multi, Path is that of its first operation.
type Request struct {
	Session int64
	Op      Op
	Path    string
}

// Fault is what happens to one request. The zero value: nothing.
type Fault struct {
	Code  Code          // refuse it
	Drop  bool          // cut the connection, do not apply it
	Lose  bool          // apply it, cut the connection before the answer
	Late  time.Duration // cut the connection now and apply it after this time, if its session still lives then
	Mute  bool          // never answer; the connection stays
	Delay time.Duration // hold the answer, and all after it, back
}
