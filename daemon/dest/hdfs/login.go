package hdfs

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// login is a Kerberos identity from a keytab. Its client renews tickets by itself; after it was refused it is made anew.
type login struct {
	user, realm string
	keys        *keytab.Keytab
	conf        *config.Config

	mu sync.Mutex
	of *client.Client
}

// newLogin reads the files; it asks nobody.
func newLogin(principal, keytabFile, krb5File string) (*login, error) {
	if krb5File == "" {
		krb5File = os.Getenv("KRB5_CONFIG")
	}
	if krb5File == "" {
		krb5File = "/etc/krb5.conf"
	}
	conf, err := config.Load(krb5File)
	if err != nil {
		return nil, fmt.Errorf("kerberos: read %s: %w", krb5File, err)
	}
	keys, err := keytab.Load(keytabFile)
	if err != nil {
		return nil, fmt.Errorf("kerberos: read hadoop.kerberos.keytab %s: %w", keytabFile, err)
	}
	l := &login{keys: keys, conf: conf}
	l.user, l.realm, _ = strings.Cut(principal, "@")
	if l.realm == "" {
		l.realm = conf.LibDefaults.DefaultRealm
	}
	if l.realm == "" {
		return nil, fmt.Errorf("kerberos: %q has no realm, and %s no default_realm: write name@REALM", principal, krb5File)
	}
	for _, e := range keys.Entries {
		if strings.Join(e.Principal.Components, "/") == l.user && e.Principal.Realm == l.realm {
			return l, nil
		}
	}
	return nil, fmt.Errorf("kerberos: %s holds no key of %s@%s: check hadoop.kerberos.principal", keytabFile, l.user, l.realm)
}

// client returns the client that is logged in.
func (l *login) client() (*client.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of != nil {
		return l.of, nil
	}
	c := client.NewWithKeytab(l.user, l.realm, l.keys, l.conf, client.DisablePAFXFAST(true))
	if err := c.Login(); err != nil {
		c.Destroy()
		return nil, fmt.Errorf("kerberos login of %s@%s: %w", l.user, l.realm, err)
	}
	l.of = c
	return c, nil
}

// again throws a client away whose tickets were refused.
func (l *login) again(refused *client.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == refused && refused != nil {
		l.of.Destroy()
		l.of = nil
	}
}

func (l *login) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of != nil {
		l.of.Destroy()
		l.of = nil
	}
}
