package tablet

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"omsync/openmldb/pb/apipb"
)

var (
	// ErrNoPartition: the tablet answered, and does not hold the partition.
	ErrNoPartition = errors.New("the tablet does not hold this partition")
	// ErrNoTable: the tablet has no such table (code 100).
	ErrNoTable = errors.New("the tablet has no such table")
)

// codeNoTable is kTableIsNotExist of src/base/status.h.
const codeNoTable = 100

// ServerError is an answer with a code other than 0.
type ServerError struct {
	Method string
	Code   int32
	Msg    string
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("%s: tablet answered code %d: %s", e.Method, e.Code, e.Msg)
}

// Client asks one tablet.
type Client struct{ stub apipb.TabletServerClient }

// New returns a Client on cc.
func New(cc grpc.ClientConnInterface) *Client { return &Client{apipb.NewTabletServerClient(cc)} }

// Status returns the tablet's view of partition pid of table tid as it is; Ready tells whether it can be read. Tablets answer code 0 and
// an empty list for a partition they do not hold: that is ErrNoPartition.
func (c *Client) Status(ctx context.Context, tid, pid uint32) (*apipb.TableStatus, error) {
	r, err := c.stub.GetTableStatus(ctx, &apipb.GetTableStatusRequest{Tid: &tid, Pid: &pid})
	if err != nil {
		return nil, fmt.Errorf("get status of table %d partition %d: %w", tid, pid, err)
	}
	if r.GetCode() != 0 {
		return nil, &ServerError{"GetTableStatus", r.GetCode(), r.GetMsg()}
	}
	for _, s := range r.GetAllTableStatus() {
		if s.GetTid() == tid && s.GetPid() == pid {
			return s, nil
		}
	}
	return nil, fmt.Errorf("table %d partition %d: %w", tid, pid, ErrNoPartition)
}

// Statuses returns the status of every partition on the tablet.
func (c *Client) Statuses(ctx context.Context) ([]*apipb.TableStatus, error) {
	r, err := c.stub.GetTableStatus(ctx, &apipb.GetTableStatusRequest{})
	if err != nil {
		return nil, fmt.Errorf("get status of all tables: %w", err)
	}
	if r.GetCode() != 0 {
		return nil, &ServerError{"GetTableStatus", r.GetCode(), r.GetMsg()}
	}
	return r.GetAllTableStatus(), nil
}

// Schema returns the tablet's own view of the table: columns, indexes, schema versions, compression.
func (c *Client) Schema(ctx context.Context, tid, pid uint32) (*apipb.TableMeta, error) {
	t, p := int32(tid), int32(pid)
	r, err := c.stub.GetTableSchema(ctx, &apipb.GetTableSchemaRequest{Tid: &t, Pid: &p})
	if err != nil {
		return nil, fmt.Errorf("get schema of table %d partition %d: %w", tid, pid, err)
	}
	switch {
	case r.GetCode() == codeNoTable:
		return nil, fmt.Errorf("table %d partition %d: %w", tid, pid, ErrNoTable)
	case r.GetCode() != 0:
		return nil, &ServerError{"GetTableSchema", r.GetCode(), r.GetMsg()}
	case r.GetTableMeta() == nil:
		return nil, &ServerError{"GetTableSchema", 0, "no table_meta in the answer"}
	}
	return r.GetTableMeta(), nil
}

// Unreachable tells whether err says that the tablet did not answer, as against answered something bad.
func Unreachable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}
