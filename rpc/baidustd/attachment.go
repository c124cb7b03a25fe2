package baidustd

import (
	"context"

	"google.golang.org/grpc"
)

type attachOption struct {
	grpc.EmptyCallOption
	send    []byte
	receive *[]byte
}

// Attach sends b beside the request. b must not change until the call returns.
func Attach(b []byte) grpc.CallOption { return attachOption{send: b} }

// Attachment receives what came beside the response, nil when nothing did.
func Attachment(to *[]byte) grpc.CallOption { return attachOption{receive: to} }

func attachments(opts []grpc.CallOption) (send []byte, receive *[]byte) {
	for _, o := range opts {
		if a, ok := o.(attachOption); ok {
			if a.receive != nil {
				receive = a.receive
			} else {
				send = a.send
			}
		}
	}
	return send, receive
}

type callKey struct{}

// call is what a handler can reach of its frame through the context.
type call struct{ in, out []byte }

// RequestAttachment returns what came beside the request; ok tells whether the call came by baidu_std at all. The bytes may be kept
// until the handler returns.
func RequestAttachment(ctx context.Context) (b []byte, ok bool) {
	if c, _ := ctx.Value(callKey{}).(*call); c != nil {
		return c.in, true
	}
	return nil, false
}

// SetResponseAttachment sends b beside the response; false when the call did not come by baidu_std. b must not change afterwards.
func SetResponseAttachment(ctx context.Context, b []byte) bool {
	c, _ := ctx.Value(callKey{}).(*call)
	if c != nil {
		c.out = b
	}
	return c != nil
}
