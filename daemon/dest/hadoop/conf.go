package hadoop

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// Conf is the content of a conf directory. The zero value is an empty one: Hadoop's defaults.
type Conf struct {
	dir    string
	values map[string]string // as written
}

// files of a client, the later ones override.
var files = []string{"core-site.xml", "hdfs-site.xml"}

// deepest bounds files that include files, and values that refer to values.
const deepest = 20

// Load reads a conf directory; "" stands for $HADOOP_CONF_DIR, else $HADOOP_HOME/etc/hadoop, else nothing at all.
func Load(dir string) (*Conf, error) {
	asked := dir
	if dir == "" {
		dir = os.Getenv("HADOOP_CONF_DIR")
	}
	if home := os.Getenv("HADOOP_HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, "etc", "hadoop")
	}
	c := &Conf{dir: dir, values: map[string]string{}}
	if dir == "" {
		return c, nil
	}
	read := 0
	for _, name := range files {
		switch err := c.read(filepath.Join(dir, name), 0); {
		case err == nil:
			read++
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("hadoop conf: %w", err)
		}
	}
	if read == 0 && asked != "" {
		return nil, fmt.Errorf("hadoop conf: neither core-site.xml nor hdfs-site.xml is in %s: correct hadoop.conf.dir", dir)
	}
	return c, nil
}

// Dir is where the files lie; empty when there are none.
func (c *Conf) Dir() string { return c.dir }

// element is <property> or <xi:include> in a conf file.
type element struct {
	XMLName xml.Name
	Name    string `xml:"name"`
	Value   string `xml:"value"`
	Final   string `xml:"final"`
	Href    string `xml:"href,attr"`
}

func (c *Conf) read(path string, depth int) error {
	if depth > deepest {
		return fmt.Errorf("%s: files include each other", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var doc struct {
		XMLName  xml.Name  `xml:"configuration"`
		Elements []element `xml:",any"`
	}
	if err := xml.Unmarshal(b, &doc); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	final := map[string]bool{}
	for _, e := range doc.Elements {
		switch e.XMLName.Local {
		case "property":
			name := strings.TrimSpace(e.Name)
			if name == "" {
				return fmt.Errorf("%s: a property without a name", path)
			}
			if final[name] {
				continue
			}
			c.values[name] = strings.TrimSpace(e.Value)
			final[name] = strings.TrimSpace(e.Final) == "true"
		case "include":
			if !filepath.IsAbs(e.Href) {
				e.Href = filepath.Join(filepath.Dir(path), e.Href)
			}
			if err := c.read(e.Href, depth+1); err != nil {
				return fmt.Errorf("%s includes %w", path, err)
			}
		}
	}
	return nil
}

// former names of keys; Hadoop still takes them.
var former = map[string][]string{
	"fs.defaultFS":              {"fs.default.name"},
	"dfs.blocksize":             {"dfs.block.size"},
	"fs.permissions.umask-mode": {"dfs.umaskmode"},
	"dfs.nameservices":          {"dfs.federation.nameservices"},
}

// Get returns a value with its ${} filled in; def where the key is not set or empty.
func (c *Conf) Get(key, def string) (string, error) {
	for _, k := range append([]string{key}, former[key]...) {
		if v := c.values[k]; v != "" {
			out, err := c.expand(v)
			if err != nil {
				return "", c.bad(k, err)
			}
			return out, nil
		}
	}
	return def, nil
}

// bad says which value of which conf can not be used.
func (c *Conf) bad(key string, err error) error {
	return fmt.Errorf("hadoop conf %s: %s: %w", c.dir, key, err)
}

// expand fills in ${key}, ${env.NAME}, ${env.NAME:-default} and the system properties that confs use. What is not known stays as it is, as in
// Hadoop.
func (c *Conf) expand(v string) (string, error) {
	at := 0
	for range deepest {
		i := strings.Index(v[at:], "${")
		if i < 0 {
			return v, nil
		}
		i += at
		j := strings.IndexByte(v[i:], '}')
		if j < 0 {
			return v, nil
		}
		j += i
		if inner := strings.LastIndex(v[:j], "${"); inner > i { // the innermost first
			i = inner
		}
		with, ok := c.lookup(v[i+2 : j])
		if !ok {
			at = j + 1
			continue
		}
		v = v[:i] + with + v[j+1:]
	}
	return "", fmt.Errorf("%q refers to itself", v)
}

func (c *Conf) lookup(name string) (string, bool) {
	if env, ok := strings.CutPrefix(name, "env."); ok {
		if env, def, ok := strings.Cut(env, ":-"); ok {
			if v := os.Getenv(env); v != "" {
				return v, true
			}
			return def, true
		}
		if env, def, ok := strings.Cut(env, "-"); ok {
			if v, set := os.LookupEnv(env); set {
				return v, true
			}
			return def, true
		}
		return os.LookupEnv(env)
	}
	if v, ok := c.values[name]; ok {
		return v, true
	}
	switch name {
	case "user.name":
		if u, err := user.Current(); err == nil {
			return u.Username, true
		}
	case "user.home":
		if d, err := os.UserHomeDir(); err == nil {
			return d, true
		}
	case "java.io.tmpdir":
		return os.TempDir(), true
	}
	return "", false
}

// User is who writes without Kerberos: $HADOOP_USER_NAME, else the system's user.
func User() (string, error) {
	if u := os.Getenv("HADOOP_USER_NAME"); u != "" {
		return u, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("whose files are they? set HADOOP_USER_NAME: %w", err)
	}
	return u.Username, nil
}
