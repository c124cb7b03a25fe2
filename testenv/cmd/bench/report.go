//go:build rocksdb

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// figure is one line of the result. Floor is the least value that is promised, or, with Most, the greatest; 0: nothing is promised.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Floor float64 `json:"floor,omitempty"`
	Most  float64 `json:"most,omitempty"`
}

func (f figure) kept() bool {
	return (f.Floor == 0 || f.Value >= f.Floor) && (f.Most == 0 || f.Value <= f.Most)
}

// report prints a table and appends the lines to path.
func report(path string, all []figure) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	out, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	enc := json.NewEncoder(out)
	var errs []error
	for _, f := range all {
		promise := ""
		switch {
		case f.Floor > 0:
			promise = fmt.Sprintf("at least %.0f", f.Floor)
		case f.Most > 0:
			promise = fmt.Sprintf("at most %.0f", f.Most)
		}
		if !f.kept() {
			errs = append(errs, fmt.Errorf("%s is %.1f %s, promised is %s", f.Name, f.Value, f.Unit, promise))
		}
		fmt.Printf("%-36s %14.1f %-14s %s\n", f.Name, f.Value, f.Unit, promise)
		errs = append(errs, enc.Encode(f))
	}
	return errors.Join(append(errs, out.Close())...)
}
