package baidustd

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"

	"google.golang.org/protobuf/proto"

	"omsync/rpc/baidustd/metapb"
)

// Magic are the first four bytes of every frame.
const Magic = "PRPC"

const (
	headerLen = 12
	// MaxMeta bounds RpcMeta: names, a credential and numbers; real ones have about 100 bytes.
	MaxMeta = 64 << 10
	// DefaultMaxBody is brpc's own max_body_size.
	DefaultMaxBody = 64 << 20
)

// FrameError is a frame that no peer in its senses sends. The connection is closed.
type FrameError struct{ Reason string }

func (e *FrameError) Error() string { return "bad baidu_std frame: " + e.Reason }

// frame is one decoded frame. message and attachment share one allocation.
type frame struct {
	meta       *metapb.RpcMeta
	message    []byte
	attachment []byte
}

// sizes are the two lengths of a frame header.
type sizes struct{ meta, rest int64 }

// parseHeader checks the 12 bytes of h against each other and against max (message + attachment).
func parseHeader(h []byte) (sizes, error) {
	if string(h[:4]) != Magic {
		return sizes{}, &FrameError{fmt.Sprintf("it begins with %q instead of %q", h[:4], Magic)}
	}
	body, meta := int64(binary.BigEndian.Uint32(h[4:])), int64(binary.BigEndian.Uint32(h[8:]))
	if meta > body {
		return sizes{}, &FrameError{fmt.Sprintf("meta of %d bytes in a body of %d", meta, body)}
	}
	if meta > MaxMeta {
		return sizes{}, &FrameError{fmt.Sprintf("meta of %d bytes, more than %d", meta, MaxMeta)}
	}
	return sizes{meta: meta, rest: body - meta}, nil
}

// split cuts what follows the meta into message and attachment.
func (f *frame) split(rest []byte) error {
	a := int64(f.meta.GetAttachmentSize())
	if a < 0 || a > int64(len(rest)) {
		return &FrameError{fmt.Sprintf("attachment_size %d of %d bytes", a, len(rest))}
	}
	cut := int64(len(rest)) - a
	f.message, f.attachment = rest[:cut:cut], rest[cut:]
	return nil
}

// frameSize is the number of bytes a message and an attachment take in memory while they are written.
func frameSize(msg proto.Message, attachment []byte) int64 {
	n := int64(len(attachment)) + headerLen
	if msg != nil {
		n += int64(proto.Size(msg))
	}
	return n
}

// encodeFrame returns header, meta and message in one buffer; the attachment is written after it without a copy.
func encodeFrame(meta *metapb.RpcMeta, msg proto.Message, attachment []byte) (net.Buffers, error) {
	if len(attachment) > math.MaxInt32 {
		return nil, fmt.Errorf("attachment of %d bytes: more than baidu_std can carry", len(attachment))
	}
	if len(attachment) > 0 {
		meta.AttachmentSize = proto.Int32(int32(len(attachment)))
	}
	b := make([]byte, headerLen, headerLen+256)
	var err error
	if b, err = (proto.MarshalOptions{}).MarshalAppend(b, meta); err != nil {
		return nil, fmt.Errorf("encode meta: %w", err)
	}
	metaLen := len(b) - headerLen
	if msg != nil {
		if b, err = (proto.MarshalOptions{}).MarshalAppend(b, msg); err != nil {
			return nil, fmt.Errorf("encode message: %w", err)
		}
	}
	body := int64(len(b)-headerLen) + int64(len(attachment))
	if body > math.MaxUint32 || metaLen > MaxMeta {
		return nil, fmt.Errorf("frame of %d bytes with %d of meta: more than baidu_std can carry", body, metaLen)
	}
	copy(b, Magic)
	binary.BigEndian.PutUint32(b[4:], uint32(body))
	binary.BigEndian.PutUint32(b[8:], uint32(metaLen))
	if len(attachment) == 0 {
		return net.Buffers{b}, nil
	}
	return net.Buffers{b, attachment}, nil
}
