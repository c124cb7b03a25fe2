//go:build hdfs

package hdfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"

	"omsync/testenv/hdfsserver"
)

// lifetime of tickets in TestKerberos.
const lifetime = 15 * time.Second

var endTime = regexp.MustCompile(`"EndTime": "([^"]+)"`)

// ends are the times at which a client's tickets are used up.
func ends(t *testing.T, d *Dir) (out []time.Time) {
	t.Helper()
	c, err := d.service.login.client()
	must(t, err)
	var b bytes.Buffer
	c.Print(&b)
	for _, m := range endTime.FindAllStringSubmatch(b.String(), -1) {
		at, err := time.Parse(time.RFC3339, m[1])
		must(t, err)
		out = append(out, at)
	}
	if len(out) < 2 {
		t.Errorf("a ticket for tickets and one for a server are needed: %s", b.String())
	}
	return out
}

// TestKerberos: login from a keytab, over each transport, with blocks bare and encrypted; files are written on when the tickets of the beginning are
// used up.
func TestKerberos(t *testing.T) {
	k := hdfsserver.RequireKDC(t, hdfsserver.KDCOptions{Lifetime: lifetime})
	for _, level := range []string{"authentication", "privacy"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			c := hdfsserver.Require(t, hdfsserver.Options{
				KDC: k, Core: hdfsserver.Conf{"hadoop.rpc.protection": level}, HDFS: hdfsserver.Conf{"dfs.data.transfer.protection": level},
			})
			if _, err := clusters(t, c, Options{}).Canonical(""); err == nil || !strings.Contains(err.Error(), "hadoop.kerberos.keytab") {
				t.Errorf("without a keytab: %v", err)
			}
			// The superuser is the servers' own principal.
			o := Options{Principal: "hdfs/localhost@EXAMPLE.COM", Keytab: k.Keytab(), Krb5: k.Krb5Conf()}
			var all []*Dir
			for _, tr := range append(transports, Auto) {
				o.Transport = tr
				all = append(all, openAt(t, clusters(t, c, o), "/"+string(tr)))
			}
			began := time.Now()
			for n := 0; n == 0 || time.Since(began) < lifetime+3*time.Second; n++ {
				for _, d := range all {
					name := fmt.Sprintf("f%d", n)
					mustPut(t, d, name, pattern(100<<10))
					switch b, err := d.ReadFile(t.Context(), name); {
					case d.service.transport == Native && level == "privacy": // the native client can not, and must say so
						if err == nil || !strings.Contains(err.Error(), "dest.hdfs_transport") {
							t.Errorf("read encrypted blocks natively: %d bytes, %v", len(b), err)
						}
					case err != nil || len(b) != 100<<10:
						t.Errorf("%s: read %d bytes: %v", d, len(b), err)
					}
				}
				for _, d := range all {
					for _, at := range ends(t, d) {
						if at.After(time.Now().Add(lifetime + time.Second)) {
							t.Fatalf("a ticket lives until %s: nothing is renewed here", at)
						}
					}
				}
				time.Sleep(time.Second) // tickets grow old; nothing is waited for
			}
			o.Principal, o.Transport = hdfsserver.Principal, Auto
			other := openAt(t, clusters(t, c, o), "/auto")
			if err := put(t.Context(), other, "mine", nil); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), `"omsync"`) {
				t.Errorf("another principal writes there: %v", err)
			}
		})
	}
}

// TestLogin: what is wrong with the files is said before anybody is asked.
func TestLogin(t *testing.T) {
	k := hdfsserver.RequireKDC(t, hdfsserver.KDCOptions{})
	for what, c := range map[string]struct{ principal, keytab, krb5, says string }{
		"no krb5.conf":    {"omsync", k.Keytab(), "/nonexistent/krb5.conf", "/nonexistent/krb5.conf"},
		"no keytab":       {"omsync", "/nonexistent/keytab", k.Krb5Conf(), "hadoop.kerberos.keytab"},
		"not a keytab":    {"omsync", k.Krb5Conf(), k.Krb5Conf(), "hadoop.kerberos.keytab"},
		"other principal": {"else@EXAMPLE.COM", k.Keytab(), k.Krb5Conf(), "no key of else@EXAMPLE.COM"},
		"other realm":     {"omsync@ELSEWHERE.COM", k.Keytab(), k.Krb5Conf(), "no key of omsync@ELSEWHERE.COM"},
	} {
		if _, err := newLogin(c.principal, c.keytab, c.krb5); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	l, err := newLogin("omsync", k.Keytab(), k.Krb5Conf())
	must(t, err)
	t.Cleanup(l.close)
	first, err := l.client()
	must(t, err)
	if again, err := l.client(); err != nil || again != first {
		t.Errorf("a login is not used again: %v", err)
	}
	l.again(first)
	must(t, k.Kill())
	if _, err := l.client(); err == nil || !strings.Contains(err.Error(), "omsync@EXAMPLE.COM") {
		t.Errorf("login without a KDC: %v", err)
	}
}
