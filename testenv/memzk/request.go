package memzk

// request is one decoded request, or one operation of a multi.
type request struct {
	op      Op
	path    string
	data    []byte
	acl     []ace
	flags   int32 // of create
	version int32 // -1: any
	watch   bool
	scheme  string // of auth, with data
	ops     []*request
	bad     bool
	rest    *decoder // of setWatches
}

func (r *request) writes() bool {
	switch r.op {
	case OpCreate, OpCreate2, OpCreateContainer, OpDelete, OpSetData, OpSetACL, OpMulti:
		return true
	}
	return false
}

// parse reads a request's body. A body that is too short gives bad.
func parse(op Op, d *decoder) *request {
	r := &request{op: op}
	switch op {
	case OpPing, OpClose:
	case OpSetWatches:
		r.rest = d
		return r
	case OpAuth:
		d.int32()
		r.scheme, r.data = d.string(), d.bytes()
	case OpMulti:
		for !d.bad {
			sub, done := Op(d.int32()), d.bool()
			d.int32()
			if done {
				break
			}
			switch sub {
			case OpCreate, OpCreate2, OpCreateContainer, OpDelete, OpSetData, OpCheck:
				r.ops = append(r.ops, parse(sub, d))
			default:
				// Its length is not known, so neither is what follows.
				r.ops = append(r.ops, &request{op: sub})
				return r
			}
		}
	default:
		r.path = d.string()
		switch op {
		case OpCreate, OpCreate2, OpCreateContainer:
			r.data, r.acl, r.flags = d.bytes(), d.acl(), d.int32()
		case OpSetData:
			r.data, r.version = d.bytes(), d.int32()
		case OpDelete, OpCheck:
			r.version = d.int32()
		case OpSetACL:
			r.acl, r.version = d.acl(), d.int32()
		case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
			r.watch = d.bool()
		}
	}
	r.bad = d.bad
	return r
}
