package tabletsim

import (
	"hash/maphash"
	"slices"
	"sync"
)

const stripes = 256

// keyLocks keep the order of one (key, ts) in the store equal to that in the log, and that of a delete among the puts of its key, while all else
// may overtake. A put holds its keys shared and its (key, ts) alone; a delete holds its key alone, one without a key everything.
type keyLocks struct {
	seed  maphash.Seed
	pk    [stripes]sync.RWMutex
	exact [stripes]sync.Mutex
}

type keyTS struct {
	idx uint32
	pk  string
	ts  uint64
}

func (l *keyLocks) ofKey(idx uint32, pk string) int {
	return int((maphash.String(l.seed, pk) + uint64(idx)*7) % stripes)
}

func (l *keyLocks) lockPut(kts []keyTS) (unlock func()) {
	var pks, exact []int
	for _, k := range kts {
		pks = append(pks, l.ofKey(k.idx, k.pk))
		exact = append(exact, int(maphash.Comparable(l.seed, k)%stripes))
	}
	pks, exact = distinct(pks), distinct(exact)
	for _, i := range pks {
		l.pk[i].RLock()
	}
	for _, i := range exact {
		l.exact[i].Lock()
	}
	return func() {
		for _, i := range exact {
			l.exact[i].Unlock()
		}
		for _, i := range pks {
			l.pk[i].RUnlock()
		}
	}
}

func (l *keyLocks) lockKey(idx uint32, pk string) (unlock func()) {
	m := &l.pk[l.ofKey(idx, pk)]
	m.Lock()
	return m.Unlock
}

func (l *keyLocks) lockAll() (unlock func()) {
	for i := range l.pk {
		l.pk[i].Lock()
	}
	return func() {
		for i := range l.pk {
			l.pk[i].Unlock()
		}
	}
}

func distinct(s []int) []int {
	slices.Sort(s)
	return slices.Compact(s)
}
