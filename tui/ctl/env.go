package ctl

import (
	"context"
	"io"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"

	"omsync/tui/state"
)

// ZooKeeper says which ZooKeeper to ask, and below which node OpenMLDB lies.
type ZooKeeper struct {
	Servers []string
	Root    string
	Cert    string // user:password, empty = none
}

// Cluster is what ctl asks of ZooKeeper.
type Cluster interface {
	// Leader returns the advertised address of the leading synctool, empty when none leads.
	Leader(ctx context.Context, zk ZooKeeper) (string, error)
	// Tables returns the tables of the cluster.
	Tables(ctx context.Context, zk ZooKeeper) ([]state.Table, error)
}

// Env is the outside world of a command.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // In is a terminal: questions can be asked
	Now      func() time.Time
	// ConfFiles are the places of synctool.properties that are tried in order when nothing on the command line says where the synctool is.
	ConfFiles []string
	Dial      func(addr string) (*grpc.ClientConn, error)
	Cluster   Cluster // nil: --zk and get tables are refused
	Version   string
	More      []*cli.Command // commands beside ctl; their errors say the exit code by ExitCode()
}
