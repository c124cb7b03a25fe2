package coord

import "errors"

// Errors of Store. Any other error leaves the write open: the identical call may be made again.
var (
	// ErrFenced: another leader has begun an epoch. Nothing of this one may be written any more.
	ErrFenced = errors.New("another synctool leads now")
	// ErrStale: the node is not at the version that was read, in this leader's own epoch. It must be read anew.
	ErrStale = errors.New("the node has changed since it was read")
	// ErrExists: a task of that id exists.
	ErrExists = errors.New("the task exists")
)
