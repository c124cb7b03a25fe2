package synctool

import (
	"omsync/daemon/coord"
	"omsync/rpc/omsyncpb"
)

func countersOf(c *omsyncpb.Counters) coord.Counters {
	return coord.Counters{
		Rows: c.GetRows(), Bytes: c.GetBytes(), Expired: c.GetExpired(), Filtered: c.GetFiltered(), Deletes: c.GetDeletes(),
		Foreign: c.GetForeign(), Repeated: c.GetRepeated(), Holes: c.GetHoles(), SkippedBlocks: c.GetSkippedBlocks(),
	}
}

func countersTo(c coord.Counters) *omsyncpb.Counters {
	return &omsyncpb.Counters{
		Rows: c.Rows, Bytes: c.Bytes, Expired: c.Expired, Filtered: c.Filtered, Deletes: c.Deletes,
		Foreign: c.Foreign, Repeated: c.Repeated, Holes: c.Holes, SkippedBlocks: c.SkippedBlocks,
	}
}

func markTo(m *coord.Mark) *omsyncpb.LogMark {
	if m == nil {
		return nil
	}
	return &omsyncpb.LogMark{LogIndex: m.Index, Term: m.Term, Crc: m.CRC}
}
