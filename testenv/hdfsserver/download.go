package hdfsserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Download copies a directory in HDFS into a local one, without what readers skip: names with "_" or "." in front. It goes over WebHDFS, with no code
// that is to be tested.
func (c *Cluster) Download(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	b, err := c.get(ctx, from, "LISTSTATUS")
	if err != nil {
		return err
	}
	var page struct {
		FileStatuses struct {
			FileStatus []struct {
				PathSuffix, Type string
				Length           int
			}
		}
	}
	if err := json.Unmarshal(b, &page); err != nil {
		return fmt.Errorf("list %s: %w", from, err)
	}
	for _, f := range page.FileStatuses.FileStatus {
		if strings.HasPrefix(f.PathSuffix, "_") || strings.HasPrefix(f.PathSuffix, ".") {
			continue
		}
		src, dst := path.Join(from, f.PathSuffix), filepath.Join(to, f.PathSuffix)
		if f.Type == "DIRECTORY" {
			if err := c.Download(ctx, src, dst); err != nil {
				return err
			}
			continue
		}
		b, err := c.get(ctx, src, "OPEN")
		if err != nil {
			return err
		}
		if len(b) != f.Length {
			return fmt.Errorf("download %s: %d bytes, its status says %d", src, len(b), f.Length)
		}
		if err := os.WriteFile(dst, b, 0o644); err != nil {
			return fmt.Errorf("download: %w", err)
		}
	}
	return nil
}

func (c *Cluster) get(ctx context.Context, file, op string) ([]byte, error) {
	u := url.URL{Scheme: "http", Host: c.NameNodes[0].HTTP, Path: "/webhdfs/v1" + file, RawQuery: "op=" + op}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", op, file, err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, b)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", op, file, err)
	}
	return b, nil
}
