package coord

import (
	"context"
	"log/slog"
	"time"

	"omsync/openmldb/zkconn"
)

// ZK is what Store needs of openmldb/zkconn.Conn.
type ZK interface {
	Get(ctx context.Context, path string) ([]byte, *zkconn.Stat, error)
	Children(ctx context.Context, path string) ([]string, *zkconn.Stat, error)
	Multi(ctx context.Context, ops ...zkconn.Op) ([]zkconn.Result, error)
	Sync(ctx context.Context, path string) error
	MkdirAll(ctx context.Context, path string) error
}

// Options of a Session.
type Options struct {
	Logger *slog.Logger     // default: none
	Now    func() time.Time // wall clock of the times that are kept; default time.Now
}

// Session is our subtree of one cluster's ZooKeeper. It owns nothing that runs: Election, Collectors and Leader have a Run each.
type Session struct {
	conn  *zkconn.Conn
	paths paths
	log   *slog.Logger
	now   func() time.Time
	rest  time.Duration // between two tries of the same
}

// New returns the Session below root, OpenMLDB's zk_root_path. The Conn is run and closed by the caller.
func New(conn *zkconn.Conn, root string, o Options) *Session {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Session{conn: conn, paths: paths{root}, log: o.Logger, now: o.Now, rest: resendPause}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
