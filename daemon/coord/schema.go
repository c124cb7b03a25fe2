package coord

import (
	"encoding/json"
	"fmt"
)

// Schema is the number of the value formats this code writes and knows.
const Schema = 1

// SchemaError refuses a value written by another release.
type SchemaError struct {
	What   string // the node
	Schema int    // 0: none given
}

func (e *SchemaError) Error() string {
	if e.Schema == 0 {
		return fmt.Sprintf("%s has no schema number: it was not written by omsync, put it back from a backup of ZooKeeper, or remove the whole task to give it up", e.What)
	}
	return fmt.Sprintf("%s has schema %d, this release knows up to %d: run the newer release that wrote it", e.What, e.Schema, Schema)
}

// decode reads a node's JSON into v after a look at its schema number, so that a newer format is refused as such.
func decode(what string, b []byte, v any) error {
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("%s is not readable JSON (%d bytes): %w", what, len(b), err)
	}
	if head.Schema < 1 || head.Schema > Schema {
		return &SchemaError{What: what, Schema: head.Schema}
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// encode writes JSON. The types of this package always marshal.
func encode(what string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	return b, nil
}
