package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"

	"omsync/conf"
	"omsync/daemon/dest"
	"omsync/daemon/process"
	"omsync/daemon/synctool"
	"omsync/openmldb/zkconn"
	"omsync/rpc/client"
	"omsync/rpc/omsyncpb"
	"omsync/rpc/port"
)

// work builds a synctool out of its conf file and runs it until ctx ends.
func work(ctx context.Context, c *conf.Synctool, log *slog.Logger) error {
	cluster := synctool.NewCluster(synctool.ClusterOptions{
		ZooKeeper: zkconn.Options{Servers: c.ZooKeeper, SessionTimeout: c.SessionTimeout, AuthCert: c.ZooKeeperCert, Logger: log},
		Root:      c.ZooKeeperRoot, Advertise: c.Advertise, Logger: log,
	})
	places := dest.Config{DefaultFS: c.DefaultFS, AllowedPrefixes: c.AllowedPrefixes}
	s, err := synctool.New(synctool.Options{
		Listen: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), Advertise: c.Advertise, Version: process.Version(), Cluster: c.Cluster, Logger: log,
		ProgressPath: c.ProgressPath, SpoolPath: c.SpoolPath, SpoolMax: c.SpoolMax, SegmentBytes: c.SegmentBytes, SegmentAge: c.SegmentAge,
		CheckPeriod: c.CheckPeriod, AssignTimeout: c.AssignTimeout, RequestTimeout: c.Request, SubtaskCredit: c.SubtaskCredit,
		AllowClearAll: c.AllowClearAll, Format: c.Format, Dialect: c.Dialect, TimeZone: c.TimeZone.String(),
		Port: port.Options{Caps: port.Caps{ConnBytes: c.SocketMaxBytes, ProcessBytes: c.ProcessMaxBytes}},
		OpenDest: func(ctx context.Context, text string) (dest.Dest, error) {
			l, err := dest.Parse(text, places)
			if err != nil {
				return nil, err
			}
			return dest.Open(ctx, l, places)
		},
		CheckDest: func(text string) error {
			_, err := dest.Parse(text, places)
			return err
		},
		OverlapDest: func(a, b string) (bool, error) {
			one, err := dest.Parse(a, places)
			if err != nil {
				return false, err
			}
			other, err := dest.Parse(b, places)
			return err == nil && dest.Overlaps(one, other), err
		},
		DialCollector: func(endpoint string) (omsyncpb.CollectorClient, io.Closer, error) {
			// The address is looked up at each connect: a collector may come back elsewhere under the same endpoint.
			conn, err := client.Dial(cluster.Address(endpoint), client.Options{Dial: func(ctx context.Context, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", cluster.Address(endpoint))
			}})
			if err != nil {
				return nil, nil, err
			}
			return omsyncpb.NewCollectorClient(conn), conn, nil
		},
	}, cluster)
	if err != nil {
		return err
	}
	waits, stop := context.WithCancel(ctx)
	var ready sync.WaitGroup
	ready.Go(func() {
		if address, err := s.Addr(waits); err == nil {
			process.Ready(log, address, nil)
		}
	})
	err = s.Run(ctx)
	stop()
	ready.Wait()
	return err
}
