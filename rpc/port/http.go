package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"omsync/rpc/budget"
	"omsync/rpc/javajson"
)

// Content types of calls, as brpc-java names them.
const (
	typeJSON  = "application/json"
	typeProto = "application/proto"
)

// httpConn carries a connection's budget to its requests.
type httpConn struct {
	*conn
	budget *budget.Budget
}

type connKey struct{}

func (s *Server) newHTTP() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: s.opts.Caps.HeaderTimeout,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if h, ok := c.(*httpConn); ok {
				ctx = context.WithValue(ctx, connKey{}, h.budget)
			}
			return ctx
		},
	}
}

// method is one unary method as HTTP serves it.
type method struct {
	path    string
	handler grpc.MethodHandler
	impl    any
}

// JSONRefuser is a service whose callers look for refusals in the answer and not in the HTTP status: it says what to answer to JSON that can not be
// read; nil: nothing better than 400.
type JSONRefuser interface {
	RefuseJSON(method string, err error) proto.Message
}

// httpError is a refusal with the text the caller gets.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			s.calls.panics.Add(1)
			s.opts.Logger.Error("page panicked", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			http.Error(w, fmt.Sprintf("%s: the handler panicked: %v", r.URL.Path, p), http.StatusInternalServerError)
		}
	}()
	// Deadlines outlive a request on a kept-alive connection: each begins with its own. Profiles take the longest.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(5 * time.Minute))
	if m := s.api[r.URL.Path]; m != nil {
		s.serveCall(w, r, m)
		return
	}
	if page := s.page(r.URL.Path); page != nil {
		page.ServeHTTP(w, r)
		return
	}
	s.notFound(w, r)
}

// notFound answers 400 to what looks like a call, as brpc-java does, and 404 to the rest.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	code, text := http.StatusNotFound, fmt.Sprintf("no page %s here: see /status, /health, /version, /metrics", clip(r.URL.Path))
	if r.Method == http.MethodPost || r.Header.Get("Content-Type") != "" || strings.Count(r.URL.Path, "/") == 2 && strings.Contains(r.URL.Path, ".") {
		code, text = http.StatusBadRequest, fmt.Sprintf("no method %s here: calls go to /package.Service/Method", clip(r.URL.Path))
	}
	s.calls.unknown.Add(1)
	http.Error(w, text, code)
}

func (s *Server) serveCall(w http.ResponseWriter, r *http.Request, m *method) {
	b, _ := r.Context().Value(connKey{}).(*budget.Budget)
	lease := b.Lease()
	defer lease.Release()
	ctx := budget.With(context.WithValue(r.Context(), httpKey{}, true), lease)
	if addr, err := net.ResolveTCPAddr("tcp", r.RemoteAddr); err == nil {
		ctx = peer.NewContext(ctx, &peer.Peer{Addr: addr})
	}
	contentType := r.Header.Get("Content-Type")
	body, binary, err := s.call(ctx, w, r, m, contentType, lease)
	if err != nil {
		e := toHTTP(err)
		if e.status == http.StatusServiceUnavailable {
			w.Header().Set("Connection", "close") // part of the body may be unread
		}
		http.Error(w, e.text, e.status)
		return
	}
	if contentType == "" {
		contentType = map[bool]string{true: typeProto, false: typeJSON}[binary]
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opts.Caps.StallTimeout + time.Duration(len(body)>>20)*time.Second))
	w.Write(body) // an error here is the peer's going away
}

// call reads the request, runs the handler and returns the response body.
func (s *Server) call(ctx context.Context, w http.ResponseWriter, r *http.Request, m *method, contentType string, lease *budget.Lease) (body []byte, binary bool, err error) {
	switch r.Method {
	case http.MethodPost, http.MethodGet, http.MethodPut: // the helper asks for the status by a GET with a body
	default:
		return nil, false, &httpError{http.StatusMethodNotAllowed, fmt.Sprintf("%s: use POST (or GET with a body), not %s", m.path, r.Method)}
	}
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "":
		return nil, false, &httpError{http.StatusBadRequest, m.path + ": no Content-Type: send " + typeJSON + " or " + typeProto}
	case err != nil || kind != typeJSON && kind != typeProto:
		return nil, false, &httpError{http.StatusBadRequest, fmt.Sprintf("%s: Content-Type %q is not served: send %s or %s", m.path, clip(contentType), typeJSON, typeProto)}
	}
	binary = kind == typeProto
	in, err := s.readBody(w, r, lease)
	if err != nil {
		return nil, binary, err
	}
	if len(in) == 0 && !binary {
		return nil, false, &httpError{http.StatusBadRequest, m.path + ": the body is empty: send a JSON object, {} at least"}
	}
	var unread error
	decode := func(x any) error {
		msg := x.(proto.Message)
		if binary {
			err = proto.Unmarshal(in, msg)
		} else {
			err = javajson.Unmarshal(in, msg)
		}
		if unread = err; err != nil {
			return &httpError{http.StatusBadRequest, m.path + ": " + err.Error()}
		}
		return nil
	}
	out, err := m.handler(m.impl, ctx, decode, s.unary)
	if r, ok := m.impl.(JSONRefuser); ok && unread != nil && !binary {
		if answer := r.RefuseJSON(path.Base(m.path), unread); answer != nil {
			out, err = answer, nil
		}
	}
	if err != nil {
		return nil, binary, err
	}
	if binary {
		body, err = proto.Marshal(out.(proto.Message))
	} else {
		body, err = javajson.Append(nil, out.(proto.Message))
	}
	if err == nil {
		err = lease.Add(int64(len(body)))
	}
	return body, binary, err
}

// readBody reads a request's body into memory that grows with it. A body must go on within the stall time.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, lease *budget.Lease) ([]byte, error) {
	most := s.opts.Caps.ConnBytes
	if r.ContentLength > most {
		return nil, &budget.OverError{Key: s.opts.Caps.ConnKey, Cap: most, Want: r.ContentLength}
	}
	pace := http.NewResponseController(w)
	buf := make([]byte, 0, 4<<10)
	if err := lease.Add(int64(cap(buf))); err != nil {
		return nil, err
	}
	for {
		if len(buf) == cap(buf) {
			more := int64(cap(buf))
			if int64(len(buf))+more > most {
				more = most - int64(len(buf))
			}
			if more <= 0 {
				return nil, &budget.OverError{Key: s.opts.Caps.ConnKey, Cap: most, Want: int64(len(buf)) + 1}
			}
			if err := lease.Add(more); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, int64(len(buf))+more), buf...)
		}
		pace.SetReadDeadline(time.Now().Add(s.opts.Caps.StallTimeout))
		n, err := r.Body.Read(buf[len(buf):min(cap(buf), len(buf)+256<<10)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			pace.SetReadDeadline(time.Time{})
			return buf, nil
		}
		if err != nil {
			return nil, &httpError{http.StatusBadRequest, fmt.Sprintf("request body after %d bytes: %v", len(buf), err)}
		}
	}
}

// toHTTP renders a handler's error. Upstream answers 500 and the exception's text; the other codes are ours.
func toHTTP(err error) *httpError {
	var e *httpError
	if errors.As(err, &e) {
		return e
	}
	var over *budget.OverError
	if errors.As(err, &over) {
		return &httpError{http.StatusServiceUnavailable, over.Error()}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = status.FromContextError(err).Err()
	}
	code := http.StatusInternalServerError
	switch status.Code(err) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		code = http.StatusBadRequest
	case codes.NotFound:
		code = http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		code = http.StatusConflict
	case codes.PermissionDenied:
		code = http.StatusForbidden
	case codes.Unauthenticated:
		code = http.StatusUnauthorized
	case codes.ResourceExhausted, codes.Unavailable:
		code = http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		code = http.StatusGatewayTimeout
	}
	text := err.Error()
	if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	return &httpError{code, text}
}

// clip shortens a text from outside for an answer or a log line.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
