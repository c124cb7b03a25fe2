package port

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
)

// page returns the handler of a path that is no call, nil when there is none.
func (s *Server) page(path string) http.Handler {
	if h := s.opts.Pages.Extra[path]; h != nil {
		return h
	}
	switch path {
	case "/", "/status":
		if s.opts.Pages.NoStatus {
			return nil
		}
		return text(s.statusPage)
	case "/version":
		return text(func(w io.Writer) { fmt.Fprintln(w, s.opts.Pages.Version) })
	case "/health":
		return http.HandlerFunc(s.healthPage)
	case "/metrics":
		return http.HandlerFunc(s.metricsPage)
	}
	if strings.HasPrefix(path, "/debug/pprof/") {
		return loopbackOnly(profiles(path))
	}
	return nil
}

func text(write func(io.Writer)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		write(w)
	})
}

// healthPage answers 200 "ok", or 503 and a reason per line.
func (s *Server) healthPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	reasons := s.problems(r.Context())
	if len(reasons) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, one := range reasons {
		fmt.Fprintln(w, one)
	}
}

func (s *Server) problems(ctx context.Context) []string {
	var reasons []string
	if s.stopping.Err() != nil {
		reasons = append(reasons, "stopping")
	}
	if s.opts.Pages.Health != nil {
		reasons = append(reasons, s.opts.Pages.Health(ctx)...)
	}
	return reasons
}

func profiles(path string) http.Handler {
	switch strings.TrimPrefix(path, "/debug/pprof/") {
	case "cmdline":
		return http.HandlerFunc(pprof.Cmdline)
	case "profile":
		return http.HandlerFunc(pprof.Profile)
	case "symbol":
		return http.HandlerFunc(pprof.Symbol)
	case "trace":
		return http.HandlerFunc(pprof.Trace)
	}
	return http.HandlerFunc(pprof.Index)
}

func loopbackOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			http.Error(w, "profiles are served to this machine only: ask from localhost", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (s *Server) statusPage(w io.Writer) {
	fmt.Fprintf(w, "version %s, up %s\n", s.opts.Pages.Version, s.opts.Clock().Sub(s.calls.since).Truncate(1e9))
	fmt.Fprintf(w, "connections %d of %d, bytes in flight %d of %d, panics %d, abandoned calls %d\n\n",
		s.doors.count(), s.opts.Caps.MaxConns, s.process.Used(), s.process.Cap(), s.calls.panics.Load(), s.calls.abandoned.Load())
	s.calls.table(w)
	if s.opts.Pages.Status != nil {
		fmt.Fprintln(w)
		s.opts.Pages.Status(w)
	}
}
