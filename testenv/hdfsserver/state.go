package hdfsserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"omsync/testenv/daemons"
)

// State is what a NameNode says of itself.
type State struct {
	Live     int  // DataNodes
	Dead     int  // DataNodes that are known and taken for dead
	SafeMode bool // nothing may be changed
	Active   bool // not a standby
}

// State asks a NameNode.
func (c *Cluster) State(ctx context.Context, nameNode int) (State, error) {
	var fs struct {
		NumLiveDataNodes, NumDeadDataNodes int
		FSState                            string
	}
	if err := c.bean(ctx, nameNode, "Hadoop:service=NameNode,name=FSNamesystemState", &fs); err != nil {
		return State{}, err
	}
	var role struct{ State string }
	if err := c.bean(ctx, nameNode, "Hadoop:service=NameNode,name=NameNodeStatus", &role); err != nil {
		return State{}, err
	}
	return State{Live: fs.NumLiveDataNodes, Dead: fs.NumDeadDataNodes, SafeMode: fs.FSState != "Operational", Active: role.State == "active"}, nil
}

func (c *Cluster) bean(ctx context.Context, nameNode int, name string, into any) error {
	n := c.NameNodes[nameNode]
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+"/jmx?qry="+name, nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}).Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var page struct{ Beans []json.RawMessage }
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		return fmt.Errorf("%s of %s: %w", name, n.Name, err)
	}
	if len(page.Beans) != 1 {
		return fmt.Errorf("%s of %s is not there yet", name, n.Name)
	}
	return json.Unmarshal(page.Beans[0], into)
}

// serves waits until a NameNode answers at all.
func (c *Cluster) serves(ctx context.Context, nameNode int) error {
	n := c.NameNodes[nameNode]
	return daemons.Until(ctx, n.Name+" serves", 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		_, err := c.State(ctx, nameNode)
		return err == nil, n.ended()
	})
}

// Await waits until an active NameNode is out of safe mode with so many live DataNodes.
func (c *Cluster) Await(ctx context.Context, live int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return daemons.Until(ctx, fmt.Sprintf("HDFS takes files with %d DataNodes", live), 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		up := 0
		for i, n := range c.NameNodes {
			if s, err := c.State(ctx, i); err == nil && s.Active && !s.SafeMode && s.Live == live {
				return true, nil
			}
			if n.Running() {
				up++
			}
		}
		if up == 0 {
			return false, c.NameNodes[0].ended()
		}
		return false, nil
	})
}

// AwaitState waits until a NameNode says what is wanted.
func (c *Cluster) AwaitState(ctx context.Context, nameNode int, what string, ok func(State) bool) error {
	return daemons.Until(ctx, what, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		s, err := c.State(ctx, nameNode)
		return err == nil && ok(s), c.NameNodes[nameNode].ended()
	})
}

// Registered is the address under which the active NameNode knows a DataNode; it is another one after each start. Empty: it is not known, or dead.
func (c *Cluster) Registered(ctx context.Context, dataNode int) (string, error) {
	var errs []error
	for i := range c.NameNodes {
		var info struct{ LiveNodes string }
		if err := c.bean(ctx, i, "Hadoop:service=NameNode,name=NameNodeInfo", &info); err != nil {
			errs = append(errs, err)
			continue
		}
		var nodes map[string]struct {
			Address  string `json:"xferaddr"`
			Capacity int64  // 0 until its first heartbeat; no block is put there before
		}
		if err := json.Unmarshal([]byte(info.LiveNodes), &nodes); err != nil {
			return "", fmt.Errorf("DataNodes of %s: %w", c.NameNodes[i].Name, err)
		}
		for _, n := range nodes {
			if host, _, err := net.SplitHostPort(n.Address); err == nil && host == c.DataNodes[dataNode].Host && n.Capacity > 0 {
				return n.Address, nil
			}
		}
		return "", nil
	}
	return "", errors.Join(errs...)
}

// Return starts a DataNode that was killed and waits until the NameNode knows it as it is now.
func (c *Cluster) Return(ctx context.Context, dataNode int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	before, err := c.Registered(ctx, dataNode)
	if err != nil {
		return err
	}
	n := c.DataNodes[dataNode]
	if err := n.Up(); err != nil {
		return err
	}
	return daemons.Until(ctx, n.Name+" is back", 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		now, err := c.Registered(ctx, dataNode)
		return err == nil && now != "" && now != before, n.ended()
	})
}
