// Package baidustd speaks brpc's baidu_std protocol (formats.md §2.2), the only one that C++ brpc and brpc-java serve well:
//
//	"PRPC" | u32 body size | u32 meta size | RpcMeta | message | attachment        (big-endian; body = meta + message + attachment)
//
// Server takes services as protoc-gen-go-grpc registers them, Client is a grpc.ClientConnInterface, so generated handlers and stubs run
// on it unchanged. Attachments travel beside the message: Attach and Attachment are call options, RequestAttachment and
// SetResponseAttachment are for handlers.
//
// Nothing a peer sends is believed before it arrives: a frame's buffer grows with its bytes, every byte is reserved from a
// budget.Budget, a begun frame must go on, and a call ends at its deadline. The conn's reader is the only one to read from it, writers
// take turns.
//
// What does not belong here: other protocols of the same port (rpc/port), what the services mean.
package baidustd
