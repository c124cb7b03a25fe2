package port

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/datasyncpb"
	"omsync/rpc/baidustd"
	"omsync/rpc/omsyncpb"
)

func fillRequest(n uint64) *datasyncpb.SendDataRequest {
	return &datasyncpb.SendDataRequest{Token: proto.String("fill"), Count: &n}
}

func TestAnswersOverACapNameTheKey(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Caps: Caps{ConnBytes: 2 << 20, ConnKey: "conn_key", ProcessBytes: 16 << 20}})
	ask := fillRequest(4 << 20)
	_, err := datasyncpb.NewSyncToolClient(grpcTo(t, s.addr)).SendData(t.Context(), ask)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "raise conn_key") {
		t.Errorf("grpc: %v", err)
	}
	_, err = datasyncpb.NewSyncToolClient(baiduTo(t, s.addr)).SendData(t.Context(), ask)
	var e *baidustd.Error
	if !errors.As(err, &e) || e.Code != baidustd.CodeOvercrowded || !strings.Contains(err.Error(), "raise conn_key") {
		t.Errorf("baidu_std: %v", err)
	}
	code, body, err := post(browser(t), s.addr, `{"token":"fill","count":4194304}`)
	if err != nil || code != 503 || !strings.Contains(body, "raise conn_key") {
		t.Errorf("http: %d %q %v", code, body, err)
	}
	for _, declared := range []bool{true, false} { // with Content-Length and chunked
		var in io.Reader = strings.NewReader(`{"token":"` + strings.Repeat("x", 3<<20) + `"}`)
		if !declared {
			in = io.MultiReader(in)
		}
		r, err := browser(t).Post("http://"+s.addr+"/openmldb.datasync.SyncTool/SendData", "application/json", in)
		if err != nil {
			continue // closed while we were still writing: as good a refusal
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != 503 || !strings.Contains(string(b), "conn_key") {
			t.Errorf("http request, declared %v: %d %q", declared, r.StatusCode, b)
		}
	}
	eventually(t, func() bool { return s.InFlight() == 0 }, "bytes in flight when nothing is under way")
}

// While one connection fills the process's cap, others are told so, on every protocol; afterwards all is well.
func TestProcessCap(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Caps: Caps{ConnBytes: 8 << 20, ProcessBytes: 4 << 20, ProcessKey: "process_key", StallTimeout: 100 * time.Millisecond}})
	holder := baiduTo(t, s.addr)
	held := make(chan error, 1)
	go func() {
		_, err := send(t.Context(), holder, "block", baidustd.Attach(make([]byte, 3<<20)))
		held <- err
	}()
	<-s.tool.reached
	ask := fillRequest(2 << 20)
	g, b, h := grpcTo(t, s.addr), baiduTo(t, s.addr), browser(t)
	if _, err := datasyncpb.NewSyncToolClient(g).SendData(t.Context(), ask); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "raise process_key") {
		t.Errorf("grpc: %v", err)
	}
	if _, err := datasyncpb.NewSyncToolClient(b).SendData(t.Context(), ask); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "raise process_key") {
		t.Errorf("baidu_std: %v", err)
	}
	if code, body, err := post(h, s.addr, `{"token":"fill","count":2097152}`); err != nil || code != 503 || !strings.Contains(body, "raise process_key") {
		t.Errorf("http: %d %q %v", code, body, err)
	}
	for name, cc := range map[string]grpc.ClientConnInterface{"grpc": g, "baidu_std": b} {
		if _, err := send(t.Context(), cc, "small"); err != nil {
			t.Errorf("%s: a small call beside: %v", name, err)
		}
	}
	close(s.tool.block)
	if err := <-held; err != nil {
		t.Errorf("holder: %v", err)
	}
	for name, cc := range map[string]grpc.ClientConnInterface{"grpc": g, "baidu_std": b} {
		if _, err := datasyncpb.NewSyncToolClient(cc).SendData(t.Context(), ask); err != nil {
			t.Errorf("%s, when there is room: %v", name, err)
		}
	}
}

// A full house turns gRPC calls away before a byte of them is read.
func TestTapRefusesWhenFull(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Caps: Caps{ProcessKey: "process_key"}})
	if err := s.process.Reserve(s.process.Cap()); err != nil {
		t.Fatal(err)
	}
	g := grpcTo(t, s.addr)
	if _, err := send(t.Context(), g, "x"); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "process_key") {
		t.Errorf("%v", err)
	}
	s.process.Release(s.process.Cap())
	if _, err := send(t.Context(), g, "x"); err != nil {
		t.Errorf("when there is room: %v", err)
	}
}

// A stream is not refused but held back: its messages wait until others are done.
func TestStreamsWaitForRoom(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Caps: Caps{ConnBytes: 3 << 20, ProcessBytes: 4 << 20}})
	s.ingest.hold, s.ingest.got = make(chan struct{}), make(chan int, 10)
	done := stream(t, s, 4, 2500<<10)
	<-s.ingest.got
	select {
	case <-s.ingest.got:
		t.Error("two messages of 2.5 MiB are inside a cap of 4 MiB")
	case <-time.After(50 * time.Millisecond):
	}
	if used := s.InFlight(); used > 4<<20 {
		t.Errorf("%d bytes in flight", used)
	}
	close(s.ingest.hold)
	done.Wait()
}

// stream sends a batch of size bytes on each of n connections until it is answered. Some of them wait for each other and are closed to make
// room; as a collector does, they send again.
func stream(t *testing.T, s *running, n, size int) *sync.WaitGroup {
	var done sync.WaitGroup
	for range n {
		c := omsyncpb.NewIngestClient(grpcTo(t, s.addr))
		done.Go(func() {
			eventually(t, func() bool {
				st, err := c.Stream(t.Context(), grpc.WaitForReady(true))
				if err != nil {
					return false
				}
				defer st.CloseSend()
				if st.Send(&omsyncpb.CollectorMessage{Body: &omsyncpb.CollectorMessage_Batch{Batch: &omsyncpb.Batch{Rows: make([]byte, size)}}}) != nil {
					return false
				}
				m, err := st.Recv()
				return err == nil && m.GetCredit().GetBytes() == uint64(size)
			}, "a message never went through")
		})
	}
	return &done
}

// However much the streams have under way, a small call still finds room: an operator must be able to look.
func TestStreamsLeaveRoomForSmallCalls(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Caps: Caps{ConnBytes: 3 << 20, ProcessBytes: 4 << 20}})
	s.ingest.hold, s.ingest.got = make(chan struct{}), make(chan int, 1000)
	g := grpcTo(t, s.addr)
	done := stream(t, s, 8, 800<<10) // two to four are inside, the others wait
	<-s.ingest.got
	eventually(t, func() bool { return s.InFlight() > 2500<<10 }, "the room is never full")
	for _, cc := range []grpc.ClientConnInterface{g, baiduTo(t, s.addr)} {
		if _, err := send(t.Context(), cc, strings.Repeat("x", 50<<10)); err != nil {
			t.Error(err)
		}
	}
	close(s.ingest.hold)
	done.Wait()
}

func TestMaxConnectionsMakesRoomFromSilentOnes(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Caps: Caps{MaxConns: 8}})
	var silent []net.Conn
	for range 20 { // as brpc-java does: open and say nothing
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	b := baiduTo(t, s.addr)
	if _, err := send(t.Context(), b, "x"); err != nil {
		t.Fatalf("behind 20 silent connections: %v", err)
	}
	silent[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := silent[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(fmt.Sprint(err), "reset") {
		t.Errorf("the oldest silent connection: %v", err)
	}
	if n := s.doors.count(); n > 8 {
		t.Errorf("%d connections", n)
	}
	// full of talkers: nobody is thrown out, newcomers are turned away
	var talkers []*baidustd.Client
	for range 8 {
		c := baiduTo(t, s.addr)
		if _, err := send(t.Context(), c, "x"); err == nil {
			talkers = append(talkers, c)
		}
	}
	if _, err := send(t.Context(), baiduTo(t, s.addr), "x"); status.Code(err) != codes.Unavailable {
		t.Errorf("one too many: %v", err)
	}
	if _, err := send(t.Context(), b, "x"); err != nil {
		t.Errorf("the first one: %v", err)
	}
	for _, c := range talkers {
		if _, err := send(t.Context(), c, "x"); err != nil {
			t.Errorf("a talker: %v", err)
		}
	}
}

func TestHostileInput(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Caps: Caps{HeaderTimeout: 50 * time.Millisecond, StallTimeout: 50 * time.Millisecond}})
	good := baiduTo(t, s.addr)
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for _, c := range []struct{ name, in string }{
		{"three bytes", "PRP"},
		{"another protocol of brpc", "HULU\x00\x00\x00\x10\x00\x00\x00\x00"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
		{"random", "\x8a\x01\xff\x00\x7f\x80\x91\x44\x0a\x0d\x00\x00\x1b"},
		{"largest PRPC length", "PRPC\xff\xff\xff\xff\x00\x00\x00\x00"},
		{"64 MiB PRPC length", "PRPC\x04\x00\x00\x00\x00\x00\x00\x02\x20\x01xxxx"},
		{"half a PRPC header", "PRPC\x00\x00"},
		{"slow HTTP header", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "},
		{"HTTP header without an end", "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 20000)},
		{"slow HTTP body", "POST /openmldb.datasync.SyncTool/SendData HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"},
		{"huge Content-Length", "POST /openmldb.datasync.SyncTool/SendData HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{"},
		{"bad HTTP", "GET\r\n\r\n"},
		{"smuggling", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
		{"half an HTTP/2 preface", preface[:10]},
		{"wrong HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + settings},
		{"HTTP/2 frame of 16 MiB", preface + settings + "\xff\xff\xff\x00\x00\x00\x00\x00\x01"},
		{"HTTP/2 DATA on stream 0", preface + settings + "\x00\x00\x01\x00\x00\x00\x00\x00\x00x"},
		{"HTTP/2 continuation out of place", preface + settings + "\x00\x00\x01\x09\x00\x00\x00\x00\x01x"},
		{"HTTP/2 broken header block", preface + settings + "\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff"},
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(15 * time.Second))
		conn.Write([]byte(c.in))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("%s: still open", c.name)
			}
		}
		conn.Close()
		if _, err := send(t.Context(), good, "x"); err != nil {
			t.Errorf("%s: a good peer suffers: %v", c.name, err)
		}
	}
	eventually(t, func() bool { return s.InFlight() == 0 }, "bytes in flight after hostile input")
	if n := s.calls.panics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

// h2flood opens streams on one raw connection and sends, on each, a gRPC message that is announced and never completed.
func h2flood(t *testing.T, addr string, streams, bytesEach int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	frame := func(kind, flags byte, stream uint32, payload []byte) {
		h := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
		c.Write(append(binary.BigEndian.AppendUint32(h, stream), payload...))
	}
	c.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	frame(4, 0, 0, nil)
	literal := func(name, value string) []byte {
		return append(append([]byte{0, byte(len(name))}, name...), append([]byte{byte(len(value))}, value...)...)
	}
	var headers []byte
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/openmldb.datasync.SyncTool/SendData"}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		headers = append(headers, literal(h[0], h[1])...)
	}
	prefix := binary.BigEndian.AppendUint32([]byte{0}, 4<<20)
	for i := range streams {
		id := uint32(2*i + 1)
		frame(1, 4, id, headers)
		frame(0, 0, id, prefix)
	}
	chunk := make([]byte, 16<<10)
	go func() {
		io.Copy(io.Discard, c) // window updates; that they are obeyed matters not: flow control is per stream and wide
	}()
	for sent := 0; sent < bytesEach; sent += len(chunk) {
		for i := range streams {
			c.SetWriteDeadline(time.Now().Add(10 * time.Second))
			h := []byte{0, byte(len(chunk) >> 8), byte(len(chunk)), 0, 0}
			if _, err := c.Write(append(binary.BigEndian.AppendUint32(h, uint32(2*i+1)), chunk...)); err != nil {
				return c
			}
		}
	}
	return c
}

// Many calls that announce large messages and never finish them can not pass the cap. Not parallel: it measures the heap.
func TestIncompleteMessagesAreBounded(t *testing.T) {
	s := start(t, Options{Caps: Caps{ConnBytes: 4 << 20, ProcessBytes: 8 << 20, StallTimeout: 100 * time.Millisecond, CallTimeout: 5 * time.Second}})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	peak := make(chan int64, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		var most int64
		for ctx.Err() == nil {
			most = max(most, s.InFlight())
			runtime.Gosched()
		}
		peak <- most
	}()
	conn := h2flood(t, s.addr, 50, 1<<20) // 50 MiB in all
	eventually(t, func() bool { return s.doors.count() == 0 }, "the flooding connection is not closed")
	cancel()
	if most := <-peak; most > 8<<20 || most < 3<<20 {
		t.Errorf("%d bytes were in flight at most", most)
	}
	conn.Close()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("the heap grew by %d", grown)
	}
	eventually(t, func() bool { return s.InFlight() == 0 }, "bytes in flight after the flood")
	if _, err := send(t.Context(), grpcTo(t, s.addr), "x"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
