package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"google.golang.org/protobuf/proto"

	"omsync/openmldb/pb/nspb"
)

// nodes writes what a name server writes (formats.md §1.1), with the bare client.
type nodes struct {
	conn *zk.Conn
	root string
	acl  []zk.ACL
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func openNodes(ctx context.Context, o Options) (*nodes, error) {
	conn, events, err := zk.Connect(o.Servers, 10*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		return nil, fmt.Errorf("connect to ZooKeeper: %w", err)
	}
	n := &nodes{conn: conn, root: o.Root, acl: zk.WorldACL(zk.PermAll)}
	for up := false; !up; {
		select {
		case e := <-events:
			up = e.State == zk.StateHasSession
		case <-ctx.Done():
			conn.Close()
			return nil, fmt.Errorf("connect to ZooKeeper at %s: %w", strings.Join(o.Servers, ","), ctx.Err())
		}
	}
	if o.AuthCert != "" {
		if err := conn.AddAuth(o.AuthScheme, []byte(o.AuthCert)); err != nil {
			conn.Close()
			return nil, fmt.Errorf("authenticate to ZooKeeper: %w", err)
		}
		n.acl = zk.AuthACL(zk.PermAll)
	}
	for _, p := range []string{"nodes", "db", "table/db_table_data", "map/names", "map/sdkendpoints", "leader"} {
		if err := n.mkdir(p); err != nil {
			conn.Close()
			return nil, err
		}
	}
	if err := n.create(n.root+"/table/notify", []byte("1")); err != nil {
		conn.Close()
		return nil, err
	}
	return n, nil
}

func (n *nodes) close() { n.conn.Close() }

func (n *nodes) create(path string, value []byte) error {
	if _, err := n.conn.Create(path, value, 0, n.acl); err != nil && !errors.Is(err, zk.ErrNodeExists) {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}

// mkdir makes a node below the root and its parents.
func (n *nodes) mkdir(rel string) error {
	path := ""
	for _, part := range strings.Split(strings.Trim(n.root+"/"+rel, "/"), "/") {
		path += "/" + part
		if err := n.create(path, nil); err != nil {
			return err
		}
	}
	return nil
}

// put makes a node below the root or sets it.
func (n *nodes) put(rel string, value []byte) error {
	if err := n.mkdir(rel); err != nil {
		return err
	}
	if _, err := n.conn.Set(n.root+"/"+rel, value, -1); err != nil {
		return fmt.Errorf("set %s: %w", rel, err)
	}
	return nil
}

func (n *nodes) remove(rel string) error {
	if err := n.conn.Delete(n.root+"/"+rel, -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
		return fmt.Errorf("delete %s: %w", rel, err)
	}
	return nil
}

func tableNode(tid uint32) string {
	return "table/db_table_data/" + strconv.FormatUint(uint64(tid), 10)
}

func (n *nodes) setTable(info *nspb.TableInfo) error {
	b, err := proto.Marshal(info)
	if err != nil {
		return fmt.Errorf("encode TableInfo of %d: %w", info.GetTid(), err)
	}
	if err := n.put(tableNode(info.GetTid()), b); err != nil {
		return err
	}
	return n.notify()
}

// notify tells the watchers that some table changed.
func (n *nodes) notify() error {
	for {
		b, st, err := n.conn.Get(n.root + "/table/notify")
		if err != nil {
			return fmt.Errorf("read notify: %w", err)
		}
		v, err := strconv.ParseUint(string(b), 10, 64)
		if err != nil {
			return fmt.Errorf("read notify: %w", err)
		}
		_, err = n.conn.Set(n.root+"/table/notify", strconv.AppendUint(nil, v+1, 10), st.Version)
		if errors.Is(err, zk.ErrBadVersion) {
			continue
		}
		if err != nil {
			return fmt.Errorf("bump notify: %w", err)
		}
		return nil
	}
}
