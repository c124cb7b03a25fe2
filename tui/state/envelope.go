package state

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// APIVersion stands in every JSON answer.
const APIVersion = "omsync/v1"

// Envelope is the outermost object of every JSON answer.
type Envelope struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	ObservedAt string            `json:"observedAt"`
	Sources    map[string]string `json:"sources"` // synctool, zk: ok
	Items      any               `json:"items"`
}

// WriteJSON writes items in an Envelope, indented, with a newline at the end.
func WriteJSON(w io.Writer, kind string, observed time.Time, source string, items any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(Envelope{
		APIVersion: APIVersion, Kind: kind, ObservedAt: observed.UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		Sources: map[string]string{source: "ok"}, Items: items,
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", kind, err)
	}
	return nil
}
