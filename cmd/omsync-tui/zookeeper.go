package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"omsync/daemon/coord"
	"omsync/openmldb/catalog"
	"omsync/openmldb/zkconn"
	"omsync/tui/ctl"
	"omsync/tui/state"
)

// zooKeeper answers ctl's questions, with a connection for each.
type zooKeeper struct{}

// Leader implements ctl.Cluster.
func (zooKeeper) Leader(ctx context.Context, zk ctl.ZooKeeper) (leader string, err error) {
	err = connected(ctx, zk, func(ctx context.Context, conn *zkconn.Conn) (err error) {
		leader, err = coord.New(conn, zk.Root, coord.Options{}).FindLeader(ctx)
		return err
	})
	return leader, err
}

// Tables implements ctl.Cluster.
func (zooKeeper) Tables(ctx context.Context, zk ctl.ZooKeeper) (out []state.Table, err error) {
	err = connected(ctx, zk, func(ctx context.Context, conn *zkconn.Conn) error {
		if there, _, err := conn.Exists(ctx, zk.Root); err != nil {
			return err
		} else if !there {
			return fmt.Errorf("there is no node %s: give OpenMLDB's zk_root_path as --zk-root", zk.Root)
		}
		tables := catalog.Watch(conn, zk.Root, catalog.Options{Logger: slog.New(slog.DiscardHandler)})
		watch, stop := context.WithCancel(ctx)
		var all errgroup.Group
		all.Go(func() error { return tables.Run(watch) })
		err := tables.Ready(ctx)
		stop()
		if end := all.Wait(); end != nil && !errors.Is(end, context.Canceled) {
			err = errors.Join(err, end)
		}
		if err == nil {
			out = tablesOf(tables.Snapshot())
		}
		return err
	})
	return out, err
}

func tablesOf(s *catalog.Snapshot) []state.Table {
	var out []state.Table
	for _, t := range s.Tables {
		one := state.Table{DB: t.DB, Table: t.Name, TID: t.TID}
		switch {
		case t.Info == nil:
			one.Storage, one.Reason = "?", "its node in ZooKeeper is not readable"
		default:
			one.Storage, one.Partitions, one.Syncable = t.Storage(), len(t.Info.GetTablePartition()), t.OnDisk()
			if !one.Syncable {
				one.Reason = "a memory table: only disk tables (SSD, HDD) are exported"
			}
			if one.Partitions > 0 {
				one.Replicas = len(t.Info.GetTablePartition()[0].GetPartitionMeta())
			}
		}
		out = append(out, one)
	}
	return out
}

// connected runs ask with a connection that ends with it.
func connected(ctx context.Context, zk ctl.ZooKeeper, ask func(context.Context, *zkconn.Conn) error) error {
	conn := zkconn.Open(zkconn.Options{Servers: zk.Servers, AuthCert: zk.Cert})
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all errgroup.Group
	all.Go(func() error { return conn.Run(life) })
	err := ask(ctx, conn)
	stop()
	return errors.Join(err, all.Wait())
}
