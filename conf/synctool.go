package conf

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/magiconair/properties"
)

// Synctool is conf/synctool.properties, read and checked.
type Synctool struct {
	Host      string
	Port      int
	Advertise string // host:port that collectors and consoles dial

	ZooKeeper      []string
	ZooKeeperRoot  string
	ZooKeeperCert  string
	SessionTimeout time.Duration
	Cluster        string // part of stage names and owner.json

	User, Password string

	ProgressPath  string
	CheckPeriod   time.Duration
	AssignTimeout time.Duration
	Request       time.Duration

	SpoolPath    string
	SpoolMax     int64
	SegmentBytes int64
	SegmentAge   time.Duration

	DefaultFS       string
	AllowedPrefixes []string
	Format          string
	Dialect         string
	TimeZone        *time.Location
	HadoopConfDir   string

	SubtaskCredit   int64
	SocketMaxBytes  int64
	ProcessMaxBytes int64
	AllowClearAll   bool

	Log Log

	Warnings []string
}

// SynctoolKeys lists every key of conf/synctool.properties in the order of the shipped file.
func SynctoolKeys() []Key { return declared(synctoolKeys(&Synctool{})) }

// LoadSynctool reads a properties file (java.util.Properties: ISO 8859-1, \uXXXX, continuation lines) and then
// overrides, each key=value. The error joins every mistake found.
func LoadSynctool(path string, overrides []string) (*Synctool, error) {
	s := &Synctool{}
	given, err := readProperties(path)
	if err != nil {
		return nil, err
	}
	side := sideCopy(path, given)
	for _, o := range overrides {
		k, v, ok := strings.Cut(o, "=")
		if !ok {
			return nil, &Error{"command line", 0, o, "write --set key=value"}
		}
		given = append(given, assignment{"command line", 0, strings.TrimSpace(k), strings.TrimSpace(v)})
	}
	if s.Warnings, err = synctoolKeys(s).fill(given); err != nil {
		return nil, err
	}
	if side != "" {
		s.Warnings = append(s.Warnings, side)
	}
	return s, s.settle(path)
}

// settle derives what depends on several keys.
func (s *Synctool) settle(path string) error {
	if s.Advertise == "" {
		host := s.Host
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			name, err := os.Hostname()
			if err != nil {
				return &Error{path, 0, "server.advertise", fmt.Sprintf("server.host is %q and the host's name is not to be had (%v): set server.advertise=host:port", s.Host, err)}
			}
			host = name
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s: server.host is %q, which cannot be dialed from elsewhere: collectors are told %s; set server.advertise if that is wrong", path, s.Host, net.JoinHostPort(host, strconv.Itoa(s.Port))))
		}
		s.Advertise = net.JoinHostPort(host, strconv.Itoa(s.Port))
	}
	if s.Cluster == "" {
		s.Cluster = strings.ReplaceAll(strings.Trim(s.ZooKeeperRoot, "/"), "/", "_")
	}
	if s.SpoolPath == "" {
		s.SpoolPath = strings.TrimSuffix(s.ProgressPath, "/") + ".spool"
	}
	return nil
}

func readProperties(path string) ([]assignment, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	l := &properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	p, err := l.LoadBytes(b)
	if err != nil {
		return nil, &Error{path, 0, "", err.Error()}
	}
	lines := propertyLines(string(b))
	var out []assignment
	for _, k := range p.Keys() {
		v, _ := p.Get(k)
		out = append(out, assignment{path, lines[k], k, strings.TrimSpace(v)})
	}
	return out, nil
}

// propertyLines finds the line a plain key stands on, for messages only: escaped keys are not found and get no line.
func propertyLines(text string) map[string]int {
	out := map[string]int{}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		if i := strings.IndexAny(line, "=: \t"); i > 0 {
			line = line[:i]
		}
		out[line] = n + 1
	}
	return out
}
