package hdfs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/spnego"
)

// web speaks WebHDFS: questions and orders to a NameNode, data to and from the DataNode it names.
type web struct {
	service *service
	names   *http.Client // to NameNodes
	data    *http.Client // to DataNodes

	mu    sync.Mutex
	avoid map[string]time.Time // hosts of DataNodes that failed, and until when
}

// patience is how long a DataNode that takes a file may say nothing: it does the recovery when one behind it fails, after its own time-outs, which it
// lengthens by 5 s per copy. Two that fail one after the other are waited for.
func (s *service) patience() time.Duration {
	return s.timeout + 2*(s.client.SocketTimeout+5*time.Second*time.Duration(s.client.Replication))
}

// avoidFor is how long a DataNode that failed is not asked again.
const avoidFor = time.Minute

func newWeb(s *service) *web {
	w := &web{service: s, avoid: map[string]time.Time{}}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.names = &http.Client{CheckRedirect: stay, Timeout: 2 * s.timeout, Transport: &http.Transport{
		DialContext: w.dial("NameNode", s.timeout), MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: maxUnuse / 2, TLSHandshakeTimeout: s.timeout,
	}}
	w.data = &http.Client{CheckRedirect: stay, Transport: &http.Transport{
		DialContext: w.dial("DataNode", s.patience()), DisableKeepAlives: true, TLSHandshakeTimeout: s.timeout, ExpectContinueTimeout: s.timeout,
	}}
	return w
}

func (w *web) dial(kind string, silence time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: min(dialTime, w.service.timeout)}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", kind, address, err)
		}
		return &line{Conn: conn, peer: kind + " " + address, silence: silence}, nil
	}
}

func (w *web) close() {
	w.names.CloseIdleConnections()
	w.data.CloseIdleConnections()
}

// webError is an exception as WebHDFS reports it.
type webError struct {
	Class string `json:"javaClassName"`
	Short string `json:"exception"`
	Said  string `json:"message"`
}

func (e *webError) Error() string     { return e.Short + ": " + firstLine(e.Said) }
func (e *webError) Exception() string { return cmp.Or(e.Class, e.Short) }
func (e *webError) Message() string   { return e.Said }

// mostAnswer bounds the JSON of a NameNode: a listing comes in parts.
const mostAnswer = 16 << 20

// answer of a NameNode.
type answer struct {
	status   int
	location string
	body     []byte
}

// ask sends one operation to the NameNode that is active.
func (w *web) ask(ctx context.Context, method, op, file string, more url.Values) (answer, error) {
	var errs []error
	for _, base := range w.service.health.order(w.service.http) {
		a, err := w.askOne(ctx, method, base, op, file, more)
		var said *webError
		switch {
		case err == nil:
			return a, nil
		case ctx.Err() != nil:
			return answer{}, context.Cause(ctx)
		case errors.As(err, &said):
			if said.Short != "StandbyException" {
				return answer{}, err
			}
		default:
			var dial *net.OpError
			if !errors.As(err, &dial) || dial.Op != "dial" { // it may have been carried out; ask that one last the next time
				w.service.health.failed(base)
				return answer{}, err
			}
		}
		w.service.health.failed(base)
		errs = append(errs, err)
	}
	return answer{}, errors.Join(errs...)
}

func (w *web) askOne(ctx context.Context, method, base, op, file string, more url.Values) (answer, error) {
	u, err := url.Parse(base)
	if err != nil {
		return answer{}, fmt.Errorf("NameNode %s: %w", base, err)
	}
	q := url.Values{"op": {op}}
	if w.service.login == nil {
		q.Set("user.name", w.service.user)
	}
	for k, v := range more {
		q[k] = v
	}
	u.Path, u.RawQuery = path.Join("/webhdfs/v1", file), q.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return answer{}, err
	}
	if l := w.service.login; l != nil {
		c, err := l.client()
		if err != nil {
			return answer{}, err
		}
		if err := spnego.SetSPNEGOHeader(c, r, "HTTP/"+u.Hostname()); err != nil {
			l.again(c)
			return answer{}, fmt.Errorf("kerberos ticket for %s: %w", u.Host, err)
		}
	}
	res, err := w.names.Do(r)
	if err != nil {
		return answer{}, bare(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer+1))
	if err == nil && len(body) > mostAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", mostAnswer)
	}
	if err != nil {
		return answer{}, fmt.Errorf("NameNode %s: %w", u.Host, err)
	}
	a := answer{status: res.StatusCode, location: res.Header.Get("Location"), body: body}
	if a.status >= 400 {
		return answer{}, refusalOf("NameNode "+u.Host, a.status, body)
	}
	return a, nil
}

// bare takes away net/http's wrapping, whose text repeats the whole URL.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusalOf reads the exception out of a failed answer.
func refusalOf(peer string, status int, body []byte) error {
	var page struct{ RemoteException *webError }
	if err := json.Unmarshal(body, &page); err == nil && page.RemoteException != nil {
		return page.RemoteException
	}
	text := firstLine(string(bytes.ToValidUTF8(body[:min(len(body), 200)], nil)))
	if status == http.StatusUnauthorized {
		return fmt.Errorf("%s: the login was refused (HTTP 401)", peer)
	}
	return fmt.Errorf("%s: HTTP %d %s: %s", peer, status, http.StatusText(status), text)
}

// avoided lists the DataNodes that are not to be asked.
func (w *web) avoided() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for host, until := range w.avoid {
		if time.Now().After(until) {
			delete(w.avoid, host)
			continue
		}
		out = append(out, host)
	}
	return strings.Join(out, ",")
}

func (w *web) failed(host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.avoid[host] = time.Now().Add(avoidFor)
}

// noneLeft tells whether a NameNode knows of no DataNode but avoided ones, for a new file or an old one.
func noneLeft(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "Failed to find datanode") || strings.Contains(err.Error(), "not excluded nodes"))
}

func (w *web) forgive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.avoid)
}

// where asks the NameNode for the DataNode that takes or gives a file's data.
func (w *web) where(ctx context.Context, method, op, file string, more url.Values) (*url.URL, error) {
	q := url.Values{}
	for k, v := range more {
		q[k] = v
	}
	no := w.avoided()
	if no != "" {
		q.Set("excludedatanodes", no)
	}
	a, err := w.ask(ctx, method, op, file, q)
	if no != "" && noneLeft(err) { // rather one that failed than none
		w.forgive()
		q.Del("excludedatanodes")
		a, err = w.ask(ctx, method, op, file, q)
	}
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(a.location)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("the NameNode names no DataNode for %s (HTTP %d)", op, a.status)
	}
	return u, nil
}
