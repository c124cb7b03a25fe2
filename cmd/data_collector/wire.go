package main

import (
	"context"
	"log/slog"

	"omsync/conf"
	"omsync/daemon/collector"
	"omsync/daemon/process"
	"omsync/openmldb/tablet"
	"omsync/openmldb/zkconn"
	"omsync/rpc/baidustd"
	"omsync/rpc/client"
	"omsync/rpc/port"
)

// work builds a collector out of its conf file and runs it until ctx ends.
func work(ctx context.Context, c *conf.Collector, log *slog.Logger) error {
	cluster := collector.NewCluster(collector.ClusterOptions{
		ZooKeeper: zkconn.Options{
			Servers: c.ZooKeeper, SessionTimeout: c.SessionTimeout, AuthScheme: c.AuthSchema, AuthCert: c.AuthCert, Logger: log,
		},
		Root: c.ZooKeeperRoot, Logger: log,
	})
	caps := port.Caps{ConnBytes: c.SocketMaxBytes, ProcessBytes: c.ProcessMaxBytes}
	daemon, err := collector.New(collector.Options{
		Endpoint: c.Endpoint, Advertise: c.Advertise, DataDir: c.DataDir, Version: process.Version(), Release: process.Release(), Logger: log,
		MaxPack: c.MaxPackSize, RequestTimeout: c.RequestTimeout, Settle: c.HandoffSettle, ClockTolerance: c.HandoffClockTolerance,
		Replication: c.ReplicationSettle, HoldBudget: c.HoldBudget, PlanMemory: c.PlanMemory, Port: port.Options{Caps: caps, Pages: port.Pages{NoStatus: !c.StatusService}},
		Ready: func(address string, problems []string) { process.Ready(log, address, problems) },
		DialTablet: func(addr string) tablet.Conn {
			return baidustd.NewClient(addr, baidustd.ClientOptions{CallTimeout: c.RequestTimeout, ConnMax: caps.ConnBytes})
		},
		DialSynctool: func(addr string) (collector.SynctoolConn, error) { return client.Dial(addr, client.Options{}) },
	}, cluster)
	if err != nil {
		return err
	}
	return daemon.Run(ctx)
}
