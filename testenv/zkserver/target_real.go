//go:build zookeeper

package zkserver

import "context"

func (x *Target) start() {
	x.t.Helper()
	s := Require(x.t)
	x.addr, x.server, x.Real = s.Addr(), real{s}, true
}

type real struct{ s *Server }

func (r real) down() error { return r.s.Kill() }
func (r real) up() error   { return r.s.Up(context.Background()) }
func (r real) wipe() error { return r.s.Wipe(context.Background()) }

func (r real) expire(id int64, password []byte) error {
	return r.s.ExpireSession(context.Background(), id, password)
}

func (r real) freeze(on bool) error {
	if on {
		return r.s.Freeze()
	}
	return r.s.Thaw()
}
