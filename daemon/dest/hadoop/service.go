package hadoop

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Service is one HDFS: a nameservice, or a NameNode that is named directly.
type Service struct {
	Name      string // how it is spelled in URIs: ns1, or host:port in lower case
	NameNodes []NameNode
}

// NameNode is where a NameNode is.
type NameNode struct {
	RPC  string // host:port
	HTTP string // URL of its pages, http://host:port
}

// Ports of NameNodes that give none.
const (
	rpcPort   = "8020"
	httpPort  = "9870"
	httpsPort = "9871"
)

// Service finds the HDFS that the authority of a URI means. Every spelling of one HDFS gives the same Name: a NameNode of a nameservice stands for
// the nameservice.
func (c *Conf) Service(authority string) (Service, error) {
	if authority == "" {
		return Service{}, errors.New("a host or nameservice is missing")
	}
	all, err := c.nameservices()
	if err != nil {
		return Service{}, err
	}
	host, port := strings.ToLower(authority), ""
	if h, p, err := net.SplitHostPort(authority); err == nil {
		host, port = strings.ToLower(h), p
	}
	for _, s := range all {
		if strings.EqualFold(s.Name, host) {
			if port != "" && len(s.NameNodes) > 1 {
				return Service{}, fmt.Errorf("%s is a nameservice, which has no port: write hdfs://%s", s.Name, s.Name)
			}
			return s, nil
		}
	}
	if port == "" {
		port = rpcPort
	}
	name := net.JoinHostPort(host, port)
	for _, s := range all {
		for _, n := range s.NameNodes {
			if strings.EqualFold(n.RPC, name) {
				return s, nil
			}
		}
	}
	page, err := c.page("", host)
	if err != nil {
		return Service{}, err
	}
	return Service{Name: name, NameNodes: []NameNode{{RPC: name, HTTP: page}}}, nil
}

// nameservices that the conf declares.
func (c *Conf) nameservices() ([]Service, error) {
	list, err := c.Get("dfs.nameservices", "")
	if err != nil {
		return nil, err
	}
	var out []Service
	for _, ns := range words(list) {
		ids, err := c.Get("dfs.ha.namenodes."+ns, "")
		if err != nil {
			return nil, err
		}
		suffixes := []string{"." + ns}
		if nodes := words(ids); len(nodes) > 0 {
			suffixes = nil
			for _, id := range nodes {
				suffixes = append(suffixes, "."+ns+"."+id)
			}
		}
		s := Service{Name: ns}
		for _, suffix := range suffixes {
			rpc, err := c.Get("dfs.namenode.rpc-address"+suffix, "")
			if err != nil {
				return nil, err
			}
			if rpc == "" {
				continue
			}
			host, port, err := net.SplitHostPort(rpc)
			if err != nil {
				return nil, c.bad("dfs.namenode.rpc-address"+suffix, fmt.Errorf("%q is not host:port", rpc))
			}
			page, err := c.page(suffix, strings.ToLower(host))
			if err != nil {
				return nil, err
			}
			s.NameNodes = append(s.NameNodes, NameNode{RPC: net.JoinHostPort(strings.ToLower(host), port), HTTP: page})
		}
		if len(s.NameNodes) > 0 { // others may be declared for servers only
			out = append(out, s)
		}
	}
	return out, nil
}

// page is the URL of a NameNode's HTTP server. An address of all interfaces, or none, means the host of its RPC.
func (c *Conf) page(suffix, host string) (string, error) {
	policy, err := c.Get("dfs.http.policy", "HTTP_ONLY")
	if err != nil {
		return "", err
	}
	scheme, key, port := "http", "dfs.namenode.http-address", httpPort
	if policy == "HTTPS_ONLY" {
		scheme, key, port = "https", "dfs.namenode.https-address", httpsPort
	}
	v, err := c.Get(key+suffix, "")
	if err != nil {
		return "", err
	}
	if v != "" {
		h, p, err := net.SplitHostPort(v)
		if err != nil {
			return "", c.bad(key+suffix, fmt.Errorf("%q is not host:port", v))
		}
		port = p
		if ip := net.ParseIP(h); h != "" && (ip == nil || !ip.IsUnspecified()) && suffix != "" {
			host = h
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}
