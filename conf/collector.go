package conf

import (
	"fmt"
	"net"
	"time"
)

// Collector is conf/data_collector.flags, read and checked.
type Collector struct {
	Endpoint  string // listen address and ZooKeeper node name
	Advertise string // dialed by the synctool; empty = Endpoint

	ZooKeeper       []string
	ZooKeeperRoot   string
	SessionTimeout  time.Duration
	AuthSchema      string
	AuthCert        string
	DataDir         string
	MaxPackSize     int64
	RequestTimeout  time.Duration
	SocketMaxBytes  int64
	ProcessMaxBytes int64
	StatusService   bool

	HandoffSettle         time.Duration
	HandoffClockTolerance time.Duration
	ReplicationSettle     time.Duration
	HoldBudget            int64
	PlanMemory            int64

	Log Log

	Warnings []string
}

// CollectorKeys lists every key of conf/data_collector.flags in the order of the shipped file.
func CollectorKeys() []Key { return declared(collectorKeys(&Collector{})) }

// LoadCollector reads a data_collector command line, flagfiles included, as start.sh gives it:
// --flagfile=conf/data_collector.flags --enable_status_service=true. The error joins every mistake found.
func LoadCollector(args []string) (*Collector, error) {
	c := &Collector{}
	k := collectorKeys(c)
	given, err := parseArgs(args, k.isBool, 0)
	if err != nil {
		return nil, err
	}
	if c.Warnings, err = k.fill(given); err != nil {
		return nil, err
	}
	if c.Advertise == "" {
		c.Advertise = c.Endpoint
	}
	if host, _, _ := net.SplitHostPort(c.Advertise); net.ParseIP(host) != nil && net.ParseIP(host).IsUnspecified() {
		return nil, &Error{"conf", 0, "endpoint", fmt.Sprintf("%s cannot be dialed from elsewhere: write the address that the tablets of this host are registered under", c.Advertise)}
	}
	return c, nil
}

func (k keys) isBool(name string) bool {
	one := k.find(name)
	return one != nil && (one.isBool || one.Default == "true" || one.Default == "false")
}

func declared(k keys) []Key {
	out := make([]Key, len(k.list))
	for i, one := range k.list {
		out[i] = *one
		out[i].set = nil
	}
	return out
}
