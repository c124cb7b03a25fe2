package memzk

// Op is a request's kind, as on the wire.
type Op int32

// The operations answered here.
const (
	OpCreate          Op = 1
	OpDelete          Op = 2
	OpExists          Op = 3
	OpGetData         Op = 4
	OpSetData         Op = 5
	OpGetACL          Op = 6
	OpSetACL          Op = 7
	OpGetChildren     Op = 8
	OpSync            Op = 9
	OpPing            Op = 11
	OpGetChildren2    Op = 12
	OpCheck           Op = 13
	OpMulti           Op = 14
	OpCreate2         Op = 15
	OpCreateContainer Op = 19
	OpAuth            Op = 100
	OpSetWatches      Op = 101
	OpClose           Op = -11
)

// Code is an answer's error code; 0 is none.
type Code int32

// The codes used here.
const (
	RuntimeInconsistency    Code = -2
	Unimplemented           Code = -6
	BadArguments            Code = -8
	NoNode                  Code = -101
	NoAuth                  Code = -102
	BadVersion              Code = -103
	NoChildrenForEphemerals Code = -108
	NodeExists              Code = -110
	NotEmpty                Code = -111
	SessionExpired          Code = -112
	InvalidACL              Code = -114
	AuthFailed              Code = -115
)

// Event types on the wire.
const (
	eventCreated  int32 = 1
	eventDeleted  int32 = 2
	eventChanged  int32 = 3
	eventChildren int32 = 4
)

// Flags of create.
const (
	flagEphemeral  = 1
	flagSequential = 2
	flagContainer  = 4 // kept like a persistent node
)
