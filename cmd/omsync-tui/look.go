package main

import (
	"context"
	"fmt"

	"omsync/daemon/coord"
	"omsync/openmldb/zkconn"
	"omsync/tui/ctl"
	"omsync/tui/toolstatus"
)

// look is toolstatus.Env.Cluster: what stands in ZooKeeper, in the words of tool-status.
func look(ctx context.Context, servers []string, root, cert string) (out *toolstatus.Cluster, err error) {
	err = connected(ctx, ctl.ZooKeeper{Servers: servers, Root: root, Cert: cert}, func(ctx context.Context, conn *zkconn.Conn) error {
		if there, _, err := conn.Exists(ctx, root); err != nil {
			return err
		} else if !there {
			return fmt.Errorf("there is no node %s: is zookeeper.root_path OpenMLDB's zk_root_path?", root)
		}
		l, err := coord.New(conn, root, coord.Options{}).Look(ctx)
		if err == nil {
			out = clusterOf(l)
		}
		return err
	})
	return out, err
}

func clusterOf(l *coord.Look) *toolstatus.Cluster {
	out := &toolstatus.Cluster{
		Leader: l.Leader, Standby: append([]string{}, l.Standby...), Epoch: l.Epoch, EpochOf: l.EpochOf, EpochMs: l.EpochMs, Finished: l.Finished,
		Collectors: []toolstatus.Collector{}, Tasks: []toolstatus.Task{}, Problems: append([]string{}, l.Problems...),
	}
	for _, c := range l.Collectors {
		out.Collectors = append(out.Collectors, toolstatus.Collector{
			Endpoint: c.Endpoint, Host: c.Host, State: c.State, Version: c.Version, DataDir: c.DataDir, SinceMs: c.SinceMs,
		})
		if c.Problem != "" {
			out.Problems = append(out.Problems, c.Problem)
		}
	}
	for _, t := range l.Tasks {
		one := toolstatus.Task{ID: t.ID, Subtasks: []toolstatus.Subtask{}}
		if t.Spec != nil {
			one.Table, one.TID, one.Mode, one.Dest, one.Deleting = t.Spec.DB+"."+t.Spec.Table, t.Spec.TID, t.Spec.Mode, t.Spec.Dest, t.Spec.Deleting
		}
		for _, pid := range t.Pids() {
			one.Subtasks = append(one.Subtasks, subtaskOf(pid, t.States[pid]))
		}
		out.Tasks = append(out.Tasks, one)
	}
	return out
}

func subtaskOf(pid uint32, st coord.SubtaskState) toolstatus.Subtask {
	s := toolstatus.Subtask{
		PID: pid, Status: string(st.Status), Code: st.Code, Reason: st.Reason, Hint: st.Hint, Phase: st.Point.Phase, Index: st.Point.Index, Seq: st.Seq,
		Rows: st.Counters.Rows, Collector: st.Collector, Tablet: st.Tablet, Generation: fmt.Sprintf("%016x", st.Generation), CommittedMs: st.CommittedMs,
	}
	if st.Pending != nil {
		s.Pending = st.Pending.Final
	}
	return s
}
