package coord

import (
	"context"
	"errors"
	"path"

	"omsync/openmldb/zkconn"
)

// Leader is the advertised address of the synctool that leads, "" when none does, kept up to date by Run.
type Leader struct {
	view[string]
	s *Session
}

// WatchLeader returns the leader; Run keeps it.
func (s *Session) WatchLeader() *Leader { return &Leader{view: newView[string](), s: s} }

// Run keeps the address until ctx ends. It returns nil.
func (l *Leader) Run(ctx context.Context) error {
	return l.follow(ctx, l.s.log, "who leads", l.s.leader)
}

// FindLeader reads the leading synctool's address once, "" when none leads.
func (s *Session) FindLeader(ctx context.Context) (string, error) {
	address, _, err := s.leader(ctx)
	return address, err
}

func (s *Session) leader(ctx context.Context) (string, []<-chan struct{}, error) {
	for {
		names, changed, err := s.conn.ListW(ctx, s.paths.leader())
		if err != nil {
			return "", nil, err
		}
		order := inOrder(names)
		if len(order) == 0 {
			return "", []<-chan struct{}{changed}, nil
		}
		b, _, err := s.conn.Get(ctx, path.Join(s.paths.leader(), order[0]))
		if errors.Is(err, zkconn.ErrNoNode) {
			continue
		}
		return string(b), []<-chan struct{}{changed}, err
	}
}
