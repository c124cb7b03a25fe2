package synctool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// owner is <dest>/_omsync/owner.json: whose destination it is. It is written at create and checked by every leader that takes the task
// over; a leader on another machine does not see a local destination's, and must not write there.
type owner struct {
	Cluster string `json:"cluster"`
	Task    string `json:"task"`
}

func writeOwner(ctx context.Context, f Files, o owner) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := f.WriteFile(ctx, ownerFile, append(b, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", ownerFile, err)
	}
	return nil
}

// readOwner returns fs.ErrNotExist when there is none.
func readOwner(ctx context.Context, f Files) (owner, error) {
	b, err := f.ReadFile(ctx, ownerFile)
	if err != nil {
		return owner{}, fmt.Errorf("read %s: %w", ownerFile, err)
	}
	var o owner
	if err := json.Unmarshal(b, &o); err != nil {
		return owner{}, fail(codeDestForeign, "look at the file; if its task is gone, remove it", "%s is no owner record: %w", ownerFile, err)
	}
	return o, nil
}

// checkOwner is asked at takeover.
func checkOwner(ctx context.Context, f Files, want owner, where string) error {
	got, err := readOwner(ctx, f)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(codeDestMissing, "run the synctool where the destination is, or mount it, then recover; recover --accept-missing takes it as it is",
			"%s: this synctool does not see %s, which was written when the task was created: %w", where, ownerFile, err)
	}
	if err != nil {
		return err
	}
	if got != want {
		return fail(codeDestForeign, "two tasks must not share a destination: delete one of them", "%s belongs to task %s of cluster %s", where, got.Task, got.Cluster)
	}
	return nil
}
