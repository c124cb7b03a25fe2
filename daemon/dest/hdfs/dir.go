package hdfs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	native "github.com/colinmarc/hdfs/v2"

	"omsync/daemon/dest"
)

// Dir is a directory in HDFS. It is safe for concurrent use.
type Dir struct {
	service *service
	root    string
}

var _ dest.Dest = (*Dir)(nil)

// path of a name. empty says whether the directory itself may be meant.
func (d *Dir) path(name string, empty bool) (string, error) {
	if name == "" && empty {
		return d.root, nil
	}
	if !fs.ValidPath(name) || name == "." {
		return "", fmt.Errorf("%q below %s: %w", name, d, fs.ErrInvalid)
	}
	return path.Join(d.root, name), nil
}

// Create implements dest.Dest. ctx bounds the writer's life, too.
func (d *Dir) Create(ctx context.Context, name string) (dest.Writer, error) {
	p, err := d.path(name, false)
	if err != nil {
		return nil, err
	}
	return d.create(ctx, p)
}

func (d *Dir) create(ctx context.Context, p string) (dest.Writer, error) {
	s := d.service
	if s.transport == WebHDFS || s.transport == Auto && s.route.detour() {
		w, err := d.webCreate(ctx, p)
		if err != nil && s.transport == Auto && !answered(err) && ctx.Err() == nil {
			s.route.clear() // no way either: straight on the next time
		}
		return w, err
	}
	w, err := s.create(ctx, p)
	if errors.Is(err, fs.ErrNotExist) { // the parent
		if err := d.mkdirAll(ctx, path.Dir(p)); err != nil {
			return nil, err
		}
		w, err = s.create(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (d *Dir) webCreate(ctx context.Context, p string) (dest.Writer, error) {
	// The DataNode finds out that a name is taken only when all is sent.
	switch _, err := d.service.web.stat(ctx, p); {
	case err == nil:
		return nil, d.service.explain("create", p, fs.ErrExist)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	// WebHDFS makes parents itself, but readable for all, whatever the umask.
	if err := d.mkdirAll(ctx, path.Dir(p)); err != nil {
		return nil, err
	}
	w, err := d.service.web.create(ctx, p)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// answered tells whether an error is HDFS's answer, and not that nothing was to be reached.
func answered(err error) bool {
	var r remote
	return errors.As(err, &r) || plain(err)
}

func (d *Dir) mkdirAll(ctx context.Context, dir string) error {
	if d.service.transport == WebHDFS {
		return d.service.web.mkdirAll(ctx, dir)
	}
	return d.service.call(ctx, "make directory", dir, func(c *native.Client) error { return c.MkdirAll(dir, 0o777&^d.service.client.Umask) })
}

// Stat implements dest.Dest.
func (d *Dir) Stat(ctx context.Context, name string) (dest.Info, error) {
	p, err := d.path(name, false)
	if err != nil {
		return dest.Info{}, err
	}
	return d.stat(ctx, name, p)
}

func (d *Dir) stat(ctx context.Context, name, p string) (dest.Info, error) {
	if d.service.transport == WebHDFS {
		st, err := d.service.web.stat(ctx, p)
		if err != nil {
			return dest.Info{}, err
		}
		return st.info(name), nil
	}
	var st os.FileInfo
	err := d.service.call(ctx, "stat", p, func(c *native.Client) (err error) {
		st, err = c.Stat(p)
		return err
	})
	if err != nil {
		return dest.Info{}, err
	}
	return info(name, st), nil
}

func info(name string, st os.FileInfo) dest.Info {
	i := dest.Info{Name: name, Dir: st.IsDir()}
	if !i.Dir {
		i.Size = st.Size()
	}
	return i
}

// Rename implements dest.Dest. The native client always overwrites, so the name is looked up before. In between nobody else takes it: final names
// are made from decisions, of which there is one.
func (d *Dir) Rename(ctx context.Context, from, to string) error {
	a, err := d.path(from, false)
	if err != nil {
		return err
	}
	b, err := d.path(to, false)
	if err != nil {
		return err
	}
	switch _, err := d.stat(ctx, to, b); {
	case err == nil:
		return d.service.explain("rename "+from+" to", b, fs.ErrExist)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	err = d.move(ctx, a, b, false)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Either the file or the directory it is to go to.
	if _, err := d.stat(ctx, from, a); err != nil {
		return err
	}
	if err := d.mkdirAll(ctx, path.Dir(b)); err != nil {
		return err
	}
	return d.move(ctx, a, b, false)
}

func (d *Dir) move(ctx context.Context, a, b string, overwrite bool) error {
	if d.service.transport == WebHDFS {
		return d.service.web.rename(ctx, a, b, overwrite)
	}
	return d.service.call(ctx, "rename", a, func(c *native.Client) error { return c.Rename(a, b) })
}

// Remove implements dest.Dest.
func (d *Dir) Remove(ctx context.Context, name string) error {
	p, err := d.path(name, false)
	if err != nil {
		return err
	}
	return d.remove(ctx, p, false)
}

// RemoveAll implements dest.Dest.
func (d *Dir) RemoveAll(ctx context.Context, dir string) error {
	p, err := d.path(dir, false)
	if err != nil {
		return err
	}
	return d.remove(ctx, p, true)
}

func (d *Dir) remove(ctx context.Context, p string, all bool) error {
	if d.service.transport == WebHDFS {
		return d.service.web.remove(ctx, p, all)
	}
	err := d.service.call(ctx, "remove", p, func(c *native.Client) error {
		if all {
			return c.RemoveAll(p)
		}
		return c.Remove(p)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// List implements dest.Dest.
func (d *Dir) List(ctx context.Context, dir string) ([]dest.Info, error) {
	p, err := d.path(dir, true)
	if err != nil {
		return nil, err
	}
	var out []dest.Info
	if d.service.transport == WebHDFS {
		var l []status
		l, err = d.service.web.list(ctx, p)
		for _, st := range l {
			if st.Name == "" { // a file is listed as itself
				return nil, d.service.explain("list", p, errNotDir)
			}
			out = append(out, st.info(st.Name))
		}
	} else {
		var l []os.FileInfo
		err = d.service.call(ctx, "list", p, func(c *native.Client) (err error) {
			l, err = c.ReadDir(p)
			return err
		})
		for _, st := range l {
			out = append(out, info(st.Name(), st))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.SortFunc(out, func(a, b dest.Info) int { return cmp.Compare(a.Name, b.Name) })
	return out, err
}

// ReadFile implements dest.Dest. The native client can not read where data is signed or encrypted.
func (d *Dir) ReadFile(ctx context.Context, name string) ([]byte, error) {
	p, err := d.path(name, false)
	if err != nil {
		return nil, err
	}
	s := d.service
	if s.transport == WebHDFS || s.transport == Auto && s.sealed() {
		return s.web.read(ctx, p)
	}
	if s.sealed() {
		return nil, s.explain("read", p, errors.New("the native client can not read where DataNodes sign or encrypt: set dest.hdfs_transport to auto"))
	}
	var b []byte
	err = s.call(ctx, "read", p, func(c *native.Client) error {
		f, err := c.Open(p)
		if err != nil {
			return err
		}
		b, err = io.ReadAll(f)
		return errors.Join(err, f.Close())
	})
	if err != nil && s.transport == Auto && !answered(err) && ctx.Err() == nil { // a DataNode that is down
		if again, webErr := s.web.read(ctx, p); webErr == nil {
			return again, nil
		}
	}
	return b, err
}

// sealed tells whether blocks are signed or encrypted on their way.
func (s *service) sealed() bool { return s.client.DataTransfer > "authentication" || s.client.Encrypt }

// WriteFile implements dest.Dest.
func (d *Dir) WriteFile(ctx context.Context, name string, data []byte) (err error) {
	p, err := d.path(name, false)
	if err != nil {
		return err
	}
	temp := path.Join(path.Dir(p), "."+path.Base(p)+"."+rand.Text())
	w, err := d.create(ctx, temp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.remove(context.WithoutCancel(ctx), temp, false))
		}
	}()
	_, err = w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	st, err := d.stat(ctx, temp, temp)
	if err == nil && st.Size != int64(len(data)) {
		err = d.service.explain("write", temp, fmt.Errorf("it has %d bytes after %d were written", st.Size, len(data)))
	}
	if err != nil {
		return err
	}
	return d.move(ctx, temp, p, true)
}

// Local implements dest.Dest.
func (d *Dir) Local() (string, bool) { return "", false }

// String is the directory's URI.
func (d *Dir) String() string { return "hdfs://" + d.service.name + d.root }

// Close implements dest.Dest; connections are the Cluster's.
func (d *Dir) Close() error { return nil }
