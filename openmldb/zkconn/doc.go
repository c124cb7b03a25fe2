// Package zkconn is the one way to ZooKeeper: github.com/go-zookeeper/zk with what it lacks.
//
// Every operation has a deadline. A Conn keeps one library connection per session (link) and replaces it when the session has expired, when
// servers answer connects but give no session (one that came back with an empty data directory refuses old clients for ever) and when the library
// hangs. Operations wait for a session within their deadline, reads are repeated within it; writes never are: an answer that got lost is told by
// Unknown.
//
// Watches fire once: at the change, or when it can not be known any more whether one was missed (after a reconnect, with a new session). Whoever
// waits reads anew and so misses nothing.
//
// Time. The bytes of a connection are looked at (tap): the sending time of the newest request that was answered is a moment at which the server
// knew the session to live. A Lease ends 2/3 of the session time-out after it, by this machine's monotonic clock and before any server can have
// given the session up, while the library would still say "connected". A connection with a request unanswered for that long is cut.
//
// What does not belong here: paths, OpenMLDB's values (openmldb/catalog), decisions (daemon/coord).
package zkconn
