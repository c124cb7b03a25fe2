// Package port serves one TCP port for everything a daemon speaks (docs/design.md §4.1). The first four bytes of a connection decide:
//
//	"PRPC"  baidu_std (rpc/baidustd)
//	"PRI "  HTTP/2: gRPC
//	else    HTTP/1.1: JSON or binary calls (formats.md §7) and pages: /status /health /version /metrics /debug/pprof
//
// The same handlers serve all three. Every call passes one interceptor that counts it, gives it a deadline, and turns a panic into an
// error; every byte in flight is reserved from the connection's budget and with it from the process's. Over a cap a call is answered
// 1011, RESOURCE_EXHAUSTED or 503 with the conf key to change; gRPC streams are held back instead, by flow control.
//
// What does not belong here: what the services mean, what the pages say about tasks (the daemon hands that in as Pages).
package port
