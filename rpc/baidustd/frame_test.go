package baidustd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/baidustd/metapb"
	"omsync/rpc/budget"
)

// The exchange of formats.md §2.2, recorded between brpc's C++ client and brpc-java.
const (
	recordedRequest = `505250430000005e0000003f0a280a1a6f70656e6d6c64622e6461746173796e632e53796e63546f6f6c120853656e644461746118001800 20d588cd919202 2808 3a08 7364656661756c74 |
 080710001a02080020012a03746f6b30003a0408012001 | 524f574259544553`
	recordedResponse = `50525043 00000011 0000000d 12020800180020d588cd919202 | 0a020800`
)

func TestReadsTheRecordedRequest(t *testing.T) {
	t.Parallel()
	f, lease, err := readAll(unhex(t, strings.ReplaceAll(recordedRequest, "\n", "")), nil, DefaultMaxBody)
	if err != nil {
		t.Fatal(err)
	}
	lease.Release()
	q := f.meta.GetRequest()
	if q.GetServiceName() != "openmldb.datasync.SyncTool" || q.GetMethodName() != "SendData" || string(f.meta.GetAuthenticationData()) != "sdefault" {
		t.Errorf("meta %v", f.meta)
	}
	var m datasyncpb.SendDataRequest
	if err := proto.Unmarshal(f.message, &m); err != nil || m.GetToken() != "tok" || string(f.attachment) != "ROWBYTES" {
		t.Errorf("%v %v %q", err, &m, f.attachment)
	}
}

// A server must answer it with the recorded bytes: the handler says code 0 and nothing else.
func TestAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{})
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := unhex(t, strings.ReplaceAll(recordedRequest, "\n", ""))
	in = bytes.Replace(in, []byte("tok"), []byte("ok!"), 1)
	if _, err := c.Write(in); err != nil {
		t.Fatal(err)
	}
	want := unhex(t, recordedResponse)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%v\n got %x\nwant %x", err, got, want)
	}
}

// readAll reads one frame from b as a connection would bring it, a few bytes at a time.
func readAll(in []byte, b *budget.Budget, max int64) (frame, *budget.Lease, error) {
	ours, theirs := net.Pipe()
	go func() {
		for len(in) > 0 {
			n := min(len(in), 1000)
			if _, err := theirs.Write(in[:n]); err != nil {
				break
			}
			in = in[n:]
		}
		theirs.Close()
	}()
	defer ours.Close()
	return newReader(&pacedConn{Conn: ours}, nil, b, max, "key", 10*time.Second).next()
}

func TestFrameHeaders(t *testing.T) {
	t.Parallel()
	h := func(magic string, body, meta uint32) []byte {
		b := make([]byte, 12)
		copy(b, magic)
		binary.BigEndian.PutUint32(b[4:], body)
		binary.BigEndian.PutUint32(b[8:], meta)
		return b
	}
	good := rawFrame(t, "a.B", "C", 7, &metapb.RpcMeta{CorrelationId: proto.Int64(1)}, []byte("att"))
	for _, c := range []struct {
		name string
		in   []byte
		want string // of the error; empty = a frame
	}{
		{"whole", good, ""},
		{"nothing", nil, "EOF"},
		{"magic", h("HULU", 4, 0), `begins with "HULU"`},
		{"meta larger than body", h(Magic, 1, 9), "meta of 9 bytes in a body of 1"},
		{"meta too large", h(Magic, 1<<20, 1<<20), "meta of 1048576 bytes"},
		{"half a header", good[:7], "ended inside"},
		{"half a meta", good[:15], "ended inside"},
		{"half a body", good[:len(good)-1], "ended inside"},
		{"meta is no protobuf", append(h(Magic, 2, 2), 0xff, 0xff), "meta: "},
		{"attachment larger than body", attachmentOf(t, 100, []byte("xx")), "attachment_size 100 of 2"},
		{"negative attachment", attachmentOf(t, -1, []byte("xx")), "attachment_size -1 of 2"},
		{"over the largest body", append(h(Magic, 1<<20+2, 2), 0x20, 0x05), "raise key"},
	} {
		_, lease, err := readAll(c.in, nil, 1<<16)
		lease.Release()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func attachmentOf(t *testing.T, size int32, rest []byte) []byte {
	t.Helper()
	meta, err := proto.Marshal(&metapb.RpcMeta{AttachmentSize: &size})
	if err != nil {
		t.Fatal(err)
	}
	b := append([]byte(Magic), binary.BigEndian.AppendUint32(nil, uint32(len(meta)+len(rest)))...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(meta))), meta...)
	return append(b, rest...)
}

// A length field alone must cost next to nothing, of memory and of budget. Not parallel: it measures the heap.
func TestLengthFieldsCostNothing(t *testing.T) {
	whole := budget.New(64<<20, "cap")
	meta, _ := proto.Marshal(&metapb.RpcMeta{CorrelationId: proto.Int64(1)})
	head := append([]byte(Magic), binary.BigEndian.AppendUint32(nil, uint32(64<<20)-1)...)
	head = append(binary.BigEndian.AppendUint32(head, uint32(len(meta))), meta...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const conns = 50
	var peers []net.Conn
	results := make(chan error, conns)
	for range conns {
		ours, theirs := net.Pipe()
		peers = append(peers, theirs)
		go func() {
			_, _, err := newReader(&pacedConn{Conn: ours}, nil, whole.Child(64<<20, "conn"), 64<<20, "key", 10*time.Second).next()
			results <- err
		}()
		theirs.Write(head)
		theirs.Write(make([]byte, 10))
	}
	if used := whole.Used(); used > conns*firstStep {
		t.Errorf("%d bytes of budget for %d announced frames", used, conns)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 40<<20 {
		t.Errorf("the heap grew by %d for %d announced frames", grown, conns)
	}
	for _, p := range peers {
		p.Close()
	}
	for range conns {
		var bad *FrameError
		if err := <-results; !errors.As(err, &bad) {
			t.Errorf("cut frame: %v", err)
		}
	}
	if whole.Used() != 0 {
		t.Errorf("%d bytes still reserved", whole.Used())
	}
}

// A frame that does not fit is passed over, and the next one is read.
func TestFrameOverTheBudgetIsPassed(t *testing.T) {
	t.Parallel()
	b := budget.New(1<<20, "the_key")
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		theirs.Write(rawFrame(t, "a.B", "C", 1, nil, make([]byte, 3<<20)))
		theirs.Write(rawFrame(t, "a.B", "C", 2, nil, []byte("small")))
		theirs.Close()
	}()
	r := newReader(&pacedConn{Conn: ours}, nil, b, 64<<20, "key", 10*time.Second)
	f, _, err := r.next()
	var refused *refusedError
	if !errors.As(err, &refused) || f.meta.GetCorrelationId() != 1 || !strings.Contains(err.Error(), "the_key") {
		t.Fatalf("%v %v", f.meta, err)
	}
	if err := r.pass(refused.rest); err != nil {
		t.Fatal(err)
	}
	f, lease, err := r.next()
	if err != nil || string(f.attachment) != "small" {
		t.Fatalf("%q %v", f.attachment, err)
	}
	lease.Release()
	if b.Used() != 0 {
		t.Errorf("%d bytes still reserved", b.Used())
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(rawFrame(f, "a.B", "C", 1, &metapb.RpcMeta{CorrelationId: proto.Int64(2)}, []byte("att")))
	f.Add(unhex(f, recordedResponse))
	f.Add([]byte("PRPC\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		b := budget.New(1<<20, "cap")
		r := newReader(&pacedConn{Conn: &bytesConn{r: bytes.NewReader(in)}}, nil, b, 1<<20, "key", time.Second)
		for {
			got, lease, err := r.next()
			if err == nil {
				if len(got.message)+len(got.attachment) > len(in) {
					t.Fatal("more came out than went in")
				}
				var msg metapb.RpcMeta
				if proto.Unmarshal(got.message, &msg) == nil {
					got.meta.AttachmentSize = nil
					if _, err := encodeFrame(got.meta, &msg, got.attachment); err != nil && !strings.Contains(err.Error(), "UTF-8") {
						t.Fatal(err)
					}
				}
				lease.Release()
				continue
			}
			var refused *refusedError
			if errors.As(err, &refused) && r.pass(refused.rest) == nil {
				continue
			}
			break
		}
		if b.Used() != 0 {
			t.Fatalf("%d bytes still reserved", b.Used())
		}
	})
}

// bytesConn is a connection that brings bytes and takes everything.
type bytesConn struct {
	net.Conn
	r io.Reader
}

func (b *bytesConn) Read(p []byte) (int, error)       { return b.r.Read(p) }
func (b *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (b *bytesConn) SetWriteDeadline(time.Time) error { return nil }

func BenchmarkFrame1MiB(b *testing.B) {
	in := rawFrame(b, "openmldb.datasync.SyncTool", "SendData", 1, nil, make([]byte, 1<<20))
	src := bytes.NewReader(in)
	r := newReader(&pacedConn{Conn: &bytesConn{r: src}}, nil, budget.New(64<<20, "cap"), 64<<20, "key", time.Second)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(in)
		r.br.Reset(src)
		_, lease, err := r.next()
		if err != nil {
			b.Fatal(err)
		}
		lease.Release()
	}
}
