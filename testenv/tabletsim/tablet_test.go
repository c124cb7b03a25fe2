package tabletsim

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/apipb"
	"omsync/rpc/baidustd"
)

func TestTabletAnswersOverBaiduStd(t *testing.T) {
	t.Parallel()
	tab, err := StartTablet(t.Context(), TabletOptions{Host: "127.0.0.2", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := tab.Open(schema(t, spec(7)), 1, apipb.TableMode_kTableLeader, 3)
	if err != nil {
		t.Fatal(err)
	}
	putRow(t, p, "k", int64(1), nil, nil)
	cc := baidustd.NewClient(tab.Addr(), baidustd.ClientOptions{})
	t.Cleanup(func() {
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
	})
	c := apipb.NewTabletServerClient(cc)
	tid, pid, none := proto.Uint32(7), proto.Uint32(1), proto.Uint32(9)
	st, err := c.GetTableStatus(t.Context(), &apipb.GetTableStatusRequest{Tid: tid, Pid: pid})
	if err != nil || len(st.GetAllTableStatus()) != 1 || st.GetAllTableStatus()[0].GetOffset() != 1 || st.Code == nil {
		t.Errorf("%v %v", st, err)
	}
	// A partition that is not there is an empty list with code 0 (formats.md §2.6).
	if st, err := c.GetTableStatus(t.Context(), &apipb.GetTableStatusRequest{Tid: tid, Pid: none}); err != nil || len(st.GetAllTableStatus()) != 0 || st.GetCode() != 0 {
		t.Errorf("%v %v", st, err)
	}
	if sc, err := c.GetTableSchema(t.Context(), &apipb.GetTableSchemaRequest{Tid: proto.Int32(7), Pid: proto.Int32(1)}); err != nil || sc.GetTableMeta().GetTerm() != 3 || len(sc.GetTableMeta().GetColumnKey()) != 3 {
		t.Errorf("%v %v", sc, err)
	}
	if sc, err := c.GetTableSchema(t.Context(), &apipb.GetTableSchemaRequest{Tid: proto.Int32(7), Pid: proto.Int32(9)}); err != nil || sc.GetCode() != 100 {
		t.Errorf("%v %v", sc, err)
	}
	if m, err := c.GetManifest(t.Context(), &apipb.GetManifestRequest{Tid: tid, Pid: pid}); err != nil || m.GetCode() != 0 || m.GetManifest().Offset == nil || m.GetManifest().GetOffset() != 0 {
		t.Errorf("%v %v", m, err)
	}
	if f, err := c.GetTableFollower(t.Context(), &apipb.GetTableFollowerRequest{Tid: tid, Pid: pid}); err != nil || f.GetCode() != 134 {
		t.Errorf("%v %v", f, err)
	}
	if tp, err := c.GetTermPair(t.Context(), &apipb.GetTermPairRequest{Tid: tid, Pid: pid}); err != nil || tp.GetTerm() != 3 || tp.GetOffset() != 1 || !tp.GetIsLeader() {
		t.Errorf("%v %v", tp, err)
	}
	if r, err := c.MakeSnapshot(t.Context(), &apipb.GeneralRequest{Tid: proto.Int32(7), Pid: proto.Int32(1), Offset: proto.Uint64(5)}); err != nil || r.GetCode() != -1 {
		t.Errorf("%v %v", r, err)
	}
	if err := tab.Drop(7, 1); err != nil {
		t.Fatal(err)
	}
	if st, err := c.GetTableStatus(t.Context(), &apipb.GetTableStatusRequest{Tid: tid}); err != nil || len(st.GetAllTableStatus()) != 0 {
		t.Errorf("%v %v", st, err)
	}
	if err := tab.Kill(false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetTableStatus(t.Context(), &apipb.GetTableStatusRequest{Tid: tid}); err == nil {
		t.Error("a killed tablet answers")
	}
}
