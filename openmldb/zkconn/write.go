package zkconn

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/go-zookeeper/zk"
)

// CreateMode says what kind of node is made.
type CreateMode int32

// Kinds of nodes. Sequential ones get ten digits behind their path.
const (
	Persistent          CreateMode = zk.FlagPersistent
	Ephemeral           CreateMode = zk.FlagEphemeral
	EphemeralSequential CreateMode = zk.FlagEphemeralSequential
)

// acl is what nodes are created with (formats.md §1.3): open, or with a credential for its owner only.
func (c *Conn) acl() []zk.ACL {
	if c.o.AuthCert != "" {
		return zk.AuthACL(zk.PermAll)
	}
	return zk.WorldACL(zk.PermAll)
}

// some is the value as upstream writes it: an empty one has length 0, not the length -1 that the library sends for nil.
func some(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// Overhead of an operation on the wire beside path and value: headers, version or flags, and an ACL.
const opOverhead = 128

func (c *Conn) tooLarge(op, path string, size int) error {
	if size <= MaxRequest {
		return nil
	}
	return &Error{Op: op, Path: path, Failed: -1, Err: fmt.Errorf("%w: %d bytes, %d are possible", ErrTooLarge, size, MaxRequest)}
}

// Create makes a node and returns its path. The parent must exist: ErrNoNode.
func (c *Conn) Create(ctx context.Context, path string, value []byte, mode CreateMode) (string, error) {
	if err := c.tooLarge("create", path, opOverhead+len(path)+len(value)); err != nil {
		return "", err
	}
	return write(ctx, c, "create", path, func(z *zk.Conn) (string, error) { return z.Create(path, some(value), int32(mode), c.acl()) })
}

// Set replaces a node's value at a version, -1 for any.
func (c *Conn) Set(ctx context.Context, path string, value []byte, version int32) (*Stat, error) {
	if err := c.tooLarge("set", path, opOverhead+len(path)+len(value)); err != nil {
		return nil, err
	}
	return write(ctx, c, "set", path, func(z *zk.Conn) (*Stat, error) { return z.Set(path, some(value), version) })
}

// Delete removes a node at a version, -1 for any.
func (c *Conn) Delete(ctx context.Context, path string, version int32) error {
	_, err := write(ctx, c, "delete", path, func(z *zk.Conn) (struct{}, error) { return struct{}{}, z.Delete(path, version) })
	return err
}

// MkdirAll makes a persistent node without value and its parents, as far as they are missing.
func (c *Conn) MkdirAll(ctx context.Context, p string) error {
	ok, _, err := c.Exists(ctx, p)
	if err != nil || ok {
		return err
	}
	if dir := path.Dir(p); dir != "/" {
		if err := c.MkdirAll(ctx, dir); err != nil {
			return err
		}
	}
	for {
		_, err = c.Create(ctx, p, nil, Persistent)
		switch {
		case err == nil, errors.Is(err, ErrNodeExists):
			return nil
		case Unknown(err) && ctx.Err() == nil:
			// Again: it is there now, or it was not made.
		default:
			return err
		}
	}
}

// OpKind is what an operation of a Multi does.
type OpKind int

// The kinds.
const (
	KindCheck OpKind = iota
	KindSet
	KindCreate
	KindDelete
)

// Op is one operation of a Multi, as made by CheckOp and its like.
type Op struct {
	Kind    OpKind
	Path    string
	Value   []byte     // of set and create
	Version int32      // of check, set and delete; -1 for any
	Mode    CreateMode // of create
}

// CheckOp demands that a node is there, at a version.
func CheckOp(path string, version int32) Op {
	return Op{Kind: KindCheck, Path: path, Version: version}
}

// SetOp is Set.
func SetOp(path string, value []byte, version int32) Op {
	return Op{Kind: KindSet, Path: path, Value: value, Version: version}
}

// DeleteOp is Delete.
func DeleteOp(path string, version int32) Op {
	return Op{Kind: KindDelete, Path: path, Version: version}
}

// CreateOp is Create.
func CreateOp(path string, value []byte, mode CreateMode) Op {
	return Op{Kind: KindCreate, Path: path, Value: value, Mode: mode}
}

// Size is about what the operation takes of MaxRequest.
func (o Op) Size() int { return opOverhead + len(o.Path) + len(o.Value) }

func (c *Conn) request(o Op) any {
	switch o.Kind {
	case KindSet:
		return &zk.SetDataRequest{Path: o.Path, Data: some(o.Value), Version: o.Version}
	case KindCreate:
		return &zk.CreateRequest{Path: o.Path, Data: some(o.Value), Acl: c.acl(), Flags: int32(o.Mode)}
	case KindDelete:
		return &zk.DeleteRequest{Path: o.Path, Version: o.Version}
	}
	return &zk.CheckVersionRequest{Path: o.Path, Version: o.Version}
}

// Result is what one operation of a Multi did.
type Result struct {
	Path string // of a created node
	Stat *Stat  // of a set one
}

// Multi does all operations or none. FailedOp of the error tells which was refused.
func (c *Conn) Multi(ctx context.Context, ops ...Op) ([]Result, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	size, what := 0, ops[0].Path
	if len(ops) > 1 {
		what = fmt.Sprintf("%s and %d more", ops[len(ops)-1].Path, len(ops)-1)
	}
	requests := make([]any, len(ops))
	for i, o := range ops {
		size += o.Size()
		requests[i] = c.request(o)
	}
	if err := c.tooLarge("write", what, size); err != nil {
		return nil, err
	}
	type outcome struct {
		results []Result
		failed  int
	}
	out, err := write(ctx, c, "write", what, func(z *zk.Conn) (outcome, error) {
		rs, err := z.Multi(requests...)
		o := outcome{failed: -1}
		for i, r := range rs {
			if r.Error != nil && err != nil && o.failed < 0 && errors.Is(err, r.Error) {
				o.failed = i
			}
			o.results = append(o.results, Result{Path: r.String, Stat: r.Stat})
		}
		return o, err
	})
	if err != nil {
		if e := (*Error)(nil); errors.As(err, &e) && out.failed >= 0 && out.failed < len(ops) && answered(e.Err) {
			e.Failed, e.Path = out.failed, ops[out.failed].Path
		}
		return nil, err
	}
	return out.results, nil
}
