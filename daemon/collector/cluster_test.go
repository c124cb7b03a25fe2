package collector

import (
	"context"
	"sync"

	"omsync/daemon/coord"
)

// fakeCluster is a Cluster without ZooKeeper.
type fakeCluster struct {
	tool *fakeTool

	mu       sync.Mutex
	tablets  []Tablet
	unknown  bool
	standing coord.Standing
	told     func(coord.Standing)
	rec      coord.CollectorRecord
	changed  chan struct{}
	names    map[string]string
}

func newFakeCluster(tool *fakeTool, tablets ...Tablet) *fakeCluster {
	return &fakeCluster{tool: tool, tablets: tablets, changed: make(chan struct{}), standing: coord.Standing{Registered: true, State: coord.Active}}
}

func (c *fakeCluster) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (c *fakeCluster) Register(ctx context.Context, rec coord.CollectorRecord, changed func(coord.Standing)) error {
	c.mu.Lock()
	c.told, c.rec = changed, rec
	changed(c.standing)
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = nil
	return nil
}

// stand changes the standing.
func (c *fakeCluster) stand(state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.standing.State = state
	if c.told != nil {
		c.told(c.standing)
	}
}

func (c *fakeCluster) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *fakeCluster) Leader() string { return c.tool.address() }

func (c *fakeCluster) Tablets() ([]Tablet, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tablets, !c.unknown
}

func (c *fakeCluster) Resolve(node string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.names[node]; a != "" {
		return a
	}
	return node
}

func (c *fakeCluster) Connected() bool { return true }

func (c *fakeCluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}
