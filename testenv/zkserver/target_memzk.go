//go:build !zookeeper

package zkserver

import "omsync/testenv/memzk"

func (x *Target) start() {
	x.t.Helper()
	s, err := memzk.Start(memzk.Options{})
	x.check(err)
	x.t.Cleanup(func() { x.check(s.Close()) })
	x.addr, x.server = s.Addr(), inMemory{s}
}

type inMemory struct{ s *memzk.Server }

func (m inMemory) down() error { m.s.Down(); return nil }
func (m inMemory) up() error   { return m.s.Up() }
func (m inMemory) wipe() error { m.s.Wipe(); return nil }

func (m inMemory) expire(id int64, _ []byte) error { m.s.ExpireSession(id); return nil }

func (m inMemory) freeze(on bool) error { m.s.Mute(on); return nil }
