package synctool

import (
	"strings"
	"testing"

	"google.golang.org/grpc/status"

	"omsync/rpc/fault"
)

// wantFault checks an RPC error's status code, its fault's code, and words in its text.
func wantFault(t *testing.T, err error, code, faultCode string, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %s", faultCode)
		return
	}
	f, ok := fault.Of(err)
	if status.Code(err).String() != code || !ok || f.GetCode() != faultCode {
		t.Errorf("%v: status %s, fault %s; want %s, %s", err, status.Code(err), f.GetCode(), code, faultCode)
	}
	for _, w := range words {
		if !strings.Contains(fault.Text(f), w) {
			t.Errorf("%q does not say %q", fault.Text(f), w)
		}
	}
}
