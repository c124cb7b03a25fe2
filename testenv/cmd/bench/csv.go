//go:build rocksdb

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"omsync/daemon/dest"
	"omsync/openmldb/pb/apipb"
	"omsync/openmldb/row"
	"omsync/testenv/tabletsim"
)

// csv measures the encoders on rows as the tables have them.
func csv(rows int) (out []figure, err error) {
	s, err := tabletsim.NewSchema(spec(1))
	if err != nil {
		return nil, err
	}
	set, err := row.SetOfMeta(s.Meta(0, apipb.TableMode_kTableLeader, 1))
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var raw [][]byte
	size := 0
	for i := range 10_000 {
		b, err := s.Encode(values(rng, fmt.Sprintf("user-00-%08d", rng.IntN(50_000)), time.Now().UnixMilli(), int64(i)))
		if err != nil {
			return nil, err
		}
		raw = append(raw, b)
		size += len(b)
	}
	for _, d := range []struct {
		dialect dest.Dialect
		floor   float64
	}{{dest.Upstream, 300}, {dest.Standard, 300}} {
		enc, err := dest.NewCSV(set, set.Latest(), d.dialect, time.Local)
		if err != nil {
			return nil, err
		}
		var seen []float64
		turns := max(1, rows/len(raw))
		for range rounds {
			cpu, err := cpuOf(func() (err error) {
				buf := make([]byte, 0, 1<<20)
				for range turns {
					for _, r := range raw {
						if len(buf) > 1<<20-4096 {
							buf = buf[:0]
						}
						if buf, err = enc.Append(buf, r); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			seen = append(seen, float64(size*turns)/1e6/cpu.Seconds())
		}
		out = append(out, figure{Name: "csv_" + string(d.dialect), Value: median(seen), Unit: "MB/s", Floor: d.floor})
	}
	return out, nil
}
