package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"omsync/openmldb/zkconn"
)

// ErrLost: the election is lost: the candidate's node is gone.
var ErrLost = errors.New("the lead is lost")

// epochValue is the value of epoch. Nonce makes each bump's bytes its own, so that after a lost answer ours is told from another's.
type epochValue struct {
	Schema  int    `json:"schema"`
	Epoch   uint64 `json:"epoch"`
	Leader  string `json:"leader"`
	Nonce   string `json:"nonce"`
	BegunMs int64  `json:"begun_ms"`
}

// beginEpoch bumps the epoch while the election node stands and returns the Store bound to it. ErrLost when the node is gone.
func (s *Session) beginEpoch(ctx context.Context, zk ZK, node, address string) (*Store, error) {
	at := s.paths.epoch()
	for {
		if err := zk.Sync(ctx, at); err != nil {
			return nil, fmt.Errorf("begin an epoch: %w", err)
		}
		b, st, err := zk.Get(ctx, at)
		if errors.Is(err, zkconn.ErrNoNode) {
			if err := s.firstEpoch(ctx, zk); err != nil {
				return nil, fmt.Errorf("begin an epoch: %w", err)
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("begin an epoch: %w", err)
		}
		var last epochValue
		if err := decode(at, b, &last); err != nil {
			return nil, fmt.Errorf("begin an epoch: %w", err)
		}
		next, err := encode(at, epochValue{Schema: Schema, Epoch: last.Epoch + 1, Leader: address, Nonce: nonce(), BegunMs: s.now().UnixMilli()})
		if err != nil {
			return nil, err
		}
		ok, err := s.bump(ctx, zk, node, next, st.Version)
		if err != nil {
			return nil, fmt.Errorf("begin an epoch: %w", err)
		}
		if ok {
			return &Store{zk: zk, paths: s.paths, epoch: last.Epoch + 1, version: st.Version + 1, log: s.log, now: s.now, rest: s.rest, most: maxMultiBytes}, nil
		}
		// Another leader's bump came between, a late one: this candidate leads, so it bumps again.
	}
}

// bump sets the epoch at a version. false: somebody else did.
func (s *Session) bump(ctx context.Context, zk ZK, node string, next []byte, version int32) (bool, error) {
	at := s.paths.epoch()
	for {
		_, err := zk.Multi(ctx, zkconn.CheckOp(node, -1), zkconn.SetOp(at, next, version))
		switch {
		case err == nil:
			return true, nil
		case passing(err) && ctx.Err() == nil:
			pause(ctx, s.rest)
			continue
		case errors.Is(err, zkconn.ErrNoNode) && zkconn.FailedOp(err) == 0:
			return false, ErrLost
		case !moved(err):
			return false, err
		}
		break
	}
	if err := zk.Sync(ctx, at); err != nil {
		return false, err
	}
	b, st, err := zk.Get(ctx, at)
	if err != nil {
		return false, err
	}
	return st.Version == version+1 && bytes.Equal(b, next), nil
}

func (s *Session) firstEpoch(ctx context.Context, zk ZK) error {
	if err := zk.MkdirAll(ctx, s.paths.ours()); err != nil {
		return err
	}
	zero, err := encode(s.paths.epoch(), epochValue{Schema: Schema})
	if err != nil {
		return err
	}
	_, err = zk.Multi(ctx, zkconn.CreateOp(s.paths.epoch(), zero, zkconn.Persistent))
	if errors.Is(err, zkconn.ErrNodeExists) || zkconn.Unknown(err) {
		return nil // it is read next
	}
	return err
}
