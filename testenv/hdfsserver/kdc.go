package hdfsserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"omsync/testenv/daemons"
)

// KDC is a Kerberos server of the realm EXAMPLE.COM with one keytab for all: the servers' principals hdfs/localhost and HTTP/localhost, and the
// client's, omsync.
type KDC struct {
	Node
	dir string
}

// Principal is the client's.
const Principal = "omsync@EXAMPLE.COM"

// KDCOptions of a KDC.
type KDCOptions struct {
	Dir      string        // required
	Lifetime time.Duration // of tickets; default a day
}

// StartKDC starts a KDC and waits until its files are there.
func StartKDC(ctx context.Context, o KDCOptions) (*KDC, error) {
	if o.Lifetime <= 0 {
		o.Lifetime = 24 * time.Hour
	}
	java, jars, err := findJava()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, fmt.Errorf("start KDC: %w", err)
	}
	k := &KDC{dir: o.Dir}
	k.Name = "kdc"
	conf := filepath.Join(o.Dir, "kdc.properties")
	text := fmt.Sprintf("org.name=EXAMPLE\norg.domain=COM\nkdc.bind.address=127.0.0.1\nkdc.port=%d\ninstance=DefaultKrbServer\nmax.ticket.lifetime=%d\n"+
		"min.ticket.lifetime=1\nmax.renewable.lifetime=%d\ntransport=TCP\ndebug=false\n", ports[0], int(o.Lifetime.Seconds()), int(7*o.Lifetime.Seconds())) // in seconds, whatever MiniKdc says
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("start KDC: %w", err)
	}
	args := append(javaArgs("64m", o.Dir), "-cp", o.Dir+":"+jars, "org.apache.hadoop.minikdc.MiniKdc", o.Dir, conf, k.Keytab(), "hdfs/localhost", "HTTP/localhost", "omsync")
	k.command = daemons.Command{Name: "kdc", Path: java, Args: args, Dir: o.Dir}
	if err := os.WriteFile(filepath.Join(o.Dir, "log4j.properties"), []byte(log4j), 0o644); err != nil {
		return nil, fmt.Errorf("start KDC: %w", err)
	}
	if err := k.Up(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = daemons.Until(ctx, "the KDC serves", 50*time.Millisecond, func(context.Context) (bool, error) {
		for _, f := range []string{k.Keytab(), k.Krb5Conf()} { // in this order they are made
			if _, err := os.Stat(f); errors.Is(err, os.ErrNotExist) {
				return false, k.ended()
			} else if err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start KDC: %w", err), k.Kill())
	}
	return k, nil
}

// RequireKDC starts a KDC for one test or fails it. It ends with the test.
func RequireKDC(t testing.TB, o KDCOptions) *KDC {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	k, err := StartKDC(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Kill(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// Keytab is the path of the file with everybody's keys.
func (k *KDC) Keytab() string { return filepath.Join(k.dir, "all.keytab") }

// Krb5Conf is the path of the conf file for clients.
func (k *KDC) Krb5Conf() string { return filepath.Join(k.dir, "krb5.conf") }

// core are properties of an HDFS that believes this KDC. Its pages of state are open to all, as State needs them.
func (k *KDC) core() Conf {
	return Conf{
		"hadoop.security.authentication": "kerberos", "hadoop.security.authorization": "true",
		"hadoop.http.filter.initializers": "org.apache.hadoop.security.AuthenticationFilterInitializer", "hadoop.http.authentication.type": "kerberos",
		"hadoop.http.authentication.kerberos.principal": webPrincipal, "hadoop.http.authentication.kerberos.keytab": k.Keytab(),
		"hadoop.http.authentication.kerberos.endpoint.whitelist": "/jmx", "hadoop.kerberos.min.seconds.before.relogin": "1",
	}
}

const webPrincipal = "HTTP/localhost@EXAMPLE.COM"

// hdfs are the same of hdfs-site.xml.
func (k *KDC) hdfs() Conf {
	const server = "hdfs/localhost@EXAMPLE.COM"
	return Conf{
		"dfs.block.access.token.enable": "true", "dfs.data.transfer.protection": "authentication", "ignore.secure.ports.for.testing": "true",
		"dfs.namenode.kerberos.principal": server, "dfs.namenode.keytab.file": k.Keytab(),
		"dfs.datanode.kerberos.principal": server, "dfs.datanode.keytab.file": k.Keytab(),
		"dfs.web.authentication.kerberos.principal": webPrincipal, "dfs.web.authentication.kerberos.keytab": k.Keytab(),
	}
}
