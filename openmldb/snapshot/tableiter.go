package snapshot

// tableIter walks the data blocks of a table through its index, of one level or two.
type tableIter struct {
	t      *table
	top    indexBlock
	part   indexBlock
	parts  blockReader // blocks of the second level
	opened *table      // of parts
}

func (x *tableIter) open(t *table) {
	x.t = t
	x.top.reset(t.index, t.format)
	x.part.reset(emptyBlock, t.format)
}

var emptyBlock = []byte{0, 0, 0, 0} // no entries, no restarts

// at is the entry of the current block.
func (x *tableIter) at() *indexBlock {
	if x.t.twoLevel {
		return &x.part
	}
	return &x.top
}

// next steps to the next block; false without error at the end.
func (x *tableIter) next() (bool, error) {
	if !x.t.twoLevel {
		return x.top.next(), x.check()
	}
	for !x.part.next() {
		if err := x.check(); err != nil || !x.top.next() {
			return false, errOr(err, x.check())
		}
		if err := x.loadPart(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// seek steps to the first block that can hold a key not before user.
func (x *tableIter) seek(user []byte) (bool, error) {
	if !x.t.twoLevel {
		return x.top.seek(user), x.check()
	}
	if !x.top.seek(user) {
		x.part.reset(emptyBlock, x.t.format)
		return false, x.check()
	}
	if err := x.loadPart(); err != nil {
		return false, err
	}
	if x.part.seek(user) {
		return true, nil
	}
	if err := x.check(); err != nil {
		return false, err
	}
	return x.next()
}

func (x *tableIter) loadPart() error {
	if x.opened != x.t {
		x.parts.open(x.t)
		x.opened = x.t
	}
	b, err := x.parts.read(x.top.handle)
	if err != nil {
		return err
	}
	x.part.reset(b, x.t.format)
	return x.check()
}

func (x *tableIter) check() error {
	for _, b := range []*indexBlock{&x.top, &x.part} {
		if b.bad != "" {
			return corrupt(x.t.name, int64(x.t.footer.index.offset), "%s", b.bad)
		}
	}
	return nil
}

func errOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
