package hdfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"

	"omsync/daemon/dest"
)

// webWriter streams a file to a DataNode, which makes it and answers when it is stored.
type webWriter struct {
	web    *web
	path   string
	host   string
	pipe   *io.PipeWriter
	cancel context.CancelCauseFunc
	result chan error
	failed error
	ended  bool
	ctx    context.Context
}

// create asks for a DataNode and opens the stream.
func (w *web) create(ctx context.Context, file string) (*webWriter, error) {
	s := w.service
	u, err := w.where(ctx, http.MethodPut, "CREATE", file, url.Values{
		"overwrite": {"false"}, "replication": {strconv.Itoa(s.client.Replication)}, "blocksize": {strconv.FormatInt(s.client.BlockSize, 10)},
		"permission": {strconv.FormatInt(int64(0o666&^s.client.Umask), 8)},
	})
	if err != nil {
		return nil, s.explain("create", file, err)
	}
	running, cancel := context.WithCancelCause(ctx)
	r, pipe := io.Pipe()
	body := &gate{from: r, peer: "DataNode " + u.Host}
	traced := httptrace.WithClientTrace(running, &httptrace.ClientTrace{Got100Continue: func() { body.open.Store(true) }})
	q, err := http.NewRequestWithContext(traced, http.MethodPut, u.String(), body)
	if err != nil {
		cancel(err)
		return nil, s.explain("create", file, err)
	}
	// A DataNode that hangs takes the connection all the same; one that says "continue" lives.
	q.Header.Set("Expect", "100-continue")
	q.Header.Set("Content-Type", "application/octet-stream")
	out := &webWriter{web: w, path: file, host: u.Hostname(), pipe: pipe, cancel: cancel, result: make(chan error, 1), ctx: ctx}
	go func() { // ends with the request, which ends with its context at the latest
		err := w.send(q)
		if err != nil {
			r.CloseWithError(err)
		} else {
			r.CloseWithError(io.ErrClosedPipe)
		}
		out.result <- err
	}()
	return out, nil
}

func (w *web) send(q *http.Request) error {
	res, err := w.data.Do(q)
	if err != nil {
		return bare(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	switch {
	case err != nil:
		return fmt.Errorf("DataNode %s: %w", q.URL.Host, err)
	case res.StatusCode != http.StatusCreated:
		return refusalOf("DataNode "+q.URL.Host, res.StatusCode, body)
	}
	return nil
}

// gate lets a body pass once the DataNode said that it listens. net/http sends it without that, too, after a while.
type gate struct {
	from *io.PipeReader
	peer string
	open atomic.Bool
}

func (g *gate) Read(b []byte) (int, error) {
	if !g.open.Load() {
		return 0, fmt.Errorf("%s takes the connection and says nothing", g.peer)
	}
	return g.from.Read(b)
}

func (g *gate) Close() error { return g.from.Close() }

func (w *webWriter) Write(b []byte) (int, error) {
	if w.ended {
		return 0, fs.ErrClosed
	}
	if w.failed != nil {
		return 0, w.failed
	}
	n, err := w.pipe.Write(b)
	if err != nil {
		w.settle(err)
	}
	return n, w.failed
}

// settle ends the request after an error and keeps why.
func (w *webWriter) settle(err error) {
	w.cancel(err)
	if sent := <-w.result; sent != nil && !errors.Is(sent, context.Canceled) {
		err = sent
	}
	if w.ctx.Err() != nil {
		w.failed = context.Cause(w.ctx)
		return
	}
	var said *webError
	if !errors.As(err, &said) {
		w.web.failed(w.host)
	}
	w.failed = w.web.service.explain("write", w.path, err)
}

// Sync can not do more than say what is known.
func (w *webWriter) Sync() error { return w.failed }

// Close ends the file; it is stored when the DataNode says so.
func (w *webWriter) Close() error {
	if w.ended {
		return fs.ErrClosed
	}
	w.ended = true
	if w.failed != nil {
		return w.failed
	}
	_ = w.pipe.Close() // never fails; the request's end says how it went
	if err := <-w.result; err != nil {
		w.result <- err
		w.settle(err)
	}
	w.cancel(nil)
	return w.failed
}

// read fetches a whole file. A DataNode that fails is avoided, and another one asked.
func (w *web) read(ctx context.Context, file string) ([]byte, error) {
	var errs []error
	for range 3 {
		u, err := w.where(ctx, http.MethodGet, "OPEN", file, nil)
		if err != nil {
			return nil, w.service.explain("read", file, errors.Join(append(errs, err)...))
		}
		b, err := w.fetch(ctx, u)
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		w.failed(u.Hostname())
		errs = append(errs, err)
	}
	return nil, w.service.explain("read", file, errors.Join(errs...))
}

func (w *web) fetch(ctx context.Context, u *url.URL) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, w.service.patience())
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	res, err := w.data.Do(q)
	if err != nil {
		return nil, bare(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("DataNode %s: %w", u.Host, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, refusalOf("DataNode "+u.Host, res.StatusCode, b)
	}
	return b, nil
}

// status is a file as WebHDFS shows it.
type status struct {
	Name   string `json:"pathSuffix"`
	Length int64  `json:"length"`
	Type   string `json:"type"`
}

func (s status) info(name string) dest.Info {
	i := dest.Info{Name: name, Dir: s.Type == "DIRECTORY"}
	if !i.Dir {
		i.Size = s.Length
	}
	return i
}

func (w *web) stat(ctx context.Context, file string) (status, error) {
	var page struct{ FileStatus status }
	err := w.json(ctx, http.MethodGet, "GETFILESTATUS", "stat", file, nil, &page)
	return page.FileStatus, err
}

// list reads a directory, part by part.
func (w *web) list(ctx context.Context, dir string) ([]status, error) {
	var out []status
	after := ""
	for {
		var page struct {
			DirectoryListing struct {
				PartialListing struct {
					FileStatuses struct{ FileStatus []status }
				} `json:"partialListing"`
				Remaining int `json:"remainingEntries"`
			}
		}
		var q url.Values
		if after != "" {
			q = url.Values{"startAfter": {after}}
		}
		if err := w.json(ctx, http.MethodGet, "LISTSTATUS_BATCH", "list", dir, q, &page); err != nil {
			return nil, err
		}
		part := page.DirectoryListing.PartialListing.FileStatuses.FileStatus
		out = append(out, part...)
		if page.DirectoryListing.Remaining == 0 || len(part) == 0 {
			return out, nil
		}
		after = part[len(part)-1].Name
	}
}

func (w *web) mkdirAll(ctx context.Context, dir string) error {
	return w.order(ctx, http.MethodPut, "MKDIRS", "make directory", dir, url.Values{"permission": {strconv.FormatInt(int64(0o777&^w.service.client.Umask), 8)}})
}

// remove tells by its error whether there was something: none when there was not.
func (w *web) remove(ctx context.Context, file string, all bool) error {
	var page struct {
		Boolean bool `json:"boolean"`
	}
	return w.json(ctx, http.MethodDelete, "DELETE", "remove", file, url.Values{"recursive": {strconv.FormatBool(all)}}, &page)
}

// rename moves a file. Without overwrite the NameNode itself refuses a name that is taken.
func (w *web) rename(ctx context.Context, from, to string, overwrite bool) error {
	option := "NONE"
	if overwrite {
		option = "OVERWRITE"
	}
	_, err := w.ask(ctx, http.MethodPut, "RENAME", from, url.Values{"destination": {to}, "renameoptions": {option}})
	return w.service.explain("rename", from, err)
}

// order carries out an operation that answers true or false.
func (w *web) order(ctx context.Context, method, op, what, file string, more url.Values) error {
	var page struct {
		Boolean bool `json:"boolean"`
	}
	if err := w.json(ctx, method, op, what, file, more, &page); err != nil {
		return err
	}
	if !page.Boolean {
		return w.service.explain(what, file, errors.New("the NameNode says no and not why"))
	}
	return nil
}

func (w *web) json(ctx context.Context, method, op, what, file string, more url.Values, into any) error {
	a, err := w.ask(ctx, method, op, file, more)
	if err == nil {
		err = json.Unmarshal(a.body, into)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return w.service.explain(what, file, err)
}
