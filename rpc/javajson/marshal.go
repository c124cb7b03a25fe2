package javajson

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Append appends m's text to dst.
func Append(dst []byte, m proto.Message) ([]byte, error) {
	return (&writer{out: dst}).message(m.ProtoReflect(), 0)
}

// maxDepth bounds nested messages both ways; the deepest real one has 4.
const maxDepth = 100

type writer struct{ out []byte }

func (w *writer) line(depth int) {
	w.out = append(w.out, '\n')
	for range depth {
		w.out = append(w.out, "  "...)
	}
}

// message writes { … } with its fields indented by depth+1. An empty message is "{\n}" there, too.
func (w *writer) message(m protoreflect.Message, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return nil, fmt.Errorf("%s is nested deeper than %d", m.Descriptor().FullName(), maxDepth)
	}
	var fields []protoreflect.FieldDescriptor
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields = append(fields, f)
		return true
	})
	slices.SortFunc(fields, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number()) - int(b.Number()) })
	w.out = append(w.out, '{')
	for i, f := range fields {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.line(depth + 1)
		w.quote(f.JSONName())
		w.out = append(w.out, ": "...)
		if err := w.field(f, m.Get(f), depth+1); err != nil {
			return nil, err
		}
	}
	w.line(depth)
	w.out = append(w.out, '}')
	return w.out, nil
}

func (w *writer) field(f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	switch {
	case f.IsList():
		w.out = append(w.out, '[')
		for i := range v.List().Len() {
			if i > 0 {
				w.out = append(w.out, ", "...)
			}
			if err := w.value(f, v.List().Get(i), depth); err != nil {
				return err
			}
		}
		w.out = append(w.out, ']')
		return nil
	case f.IsMap():
		return w.entries(f, v.Map(), depth)
	}
	return w.value(f, v, depth)
}

func (w *writer) entries(f protoreflect.FieldDescriptor, m protoreflect.Map, depth int) error {
	var keys []protoreflect.MapKey
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	w.out = append(w.out, '{')
	for i, k := range keys {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.line(depth + 1)
		w.quote(k.String())
		w.out = append(w.out, ": "...)
		if err := w.value(f.MapValue(), m.Get(k), depth+1); err != nil {
			return err
		}
	}
	w.line(depth)
	w.out = append(w.out, '}')
	return nil
}

func (w *writer) value(f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		_, err := w.message(v.Message(), depth)
		return err
	case protoreflect.BoolKind:
		w.out = strconv.AppendBool(w.out, v.Bool())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		w.out = strconv.AppendInt(w.out, v.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		w.out = strconv.AppendUint(w.out, v.Uint(), 10)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		w.out = append(strconv.AppendInt(append(w.out, '"'), v.Int(), 10), '"')
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		w.out = append(strconv.AppendUint(append(w.out, '"'), v.Uint(), 10), '"')
	case protoreflect.FloatKind:
		w.float(v.Float(), 32)
	case protoreflect.DoubleKind:
		w.float(v.Float(), 64)
	case protoreflect.EnumKind:
		if d := f.Enum().Values().ByNumber(v.Enum()); d != nil {
			w.quote(string(d.Name()))
		} else {
			w.out = strconv.AppendInt(w.out, int64(v.Enum()), 10)
		}
	case protoreflect.StringKind:
		w.quote(v.String())
	case protoreflect.BytesKind:
		w.out = append(w.out, '"')
		w.out = base64.StdEncoding.AppendEncode(w.out, v.Bytes())
		w.out = append(w.out, '"')
	default:
		return fmt.Errorf("%s: kind %s has no JSON form here", f.FullName(), f.Kind())
	}
	return nil
}

func (w *writer) float(x float64, bits int) {
	switch {
	case math.IsNaN(x):
		w.out = append(w.out, `"NaN"`...)
	case math.IsInf(x, 1):
		w.out = append(w.out, `"Infinity"`...)
	case math.IsInf(x, -1):
		w.out = append(w.out, `"-Infinity"`...)
	default:
		at := len(w.out)
		w.out = strconv.AppendFloat(w.out, x, 'g', -1, bits)
		if !slices.ContainsFunc(w.out[at:], func(c byte) bool { return c == '.' || c == 'e' }) {
			w.out = append(w.out, ".0"...) // as Java writes a whole number
		}
	}
}

const hex = "0123456789abcdef"

// quote writes s as gson does with HTML escaping on.
func (w *writer) quote(s string) {
	w.out = append(w.out, '"')
	for _, r := range s { // bytes that are not UTF-8 come out as U+FFFD, as in Java
		switch {
		case r == '"' || r == '\\':
			w.out = append(w.out, '\\', byte(r))
		case r == '\t':
			w.out = append(w.out, `\t`...)
		case r == '\b':
			w.out = append(w.out, `\b`...)
		case r == '\n':
			w.out = append(w.out, `\n`...)
		case r == '\r':
			w.out = append(w.out, `\r`...)
		case r == '\f':
			w.out = append(w.out, `\f`...)
		case r < 0x20, r == '<', r == '>', r == '&', r == '=', r == '\'':
			w.out = append(w.out, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		case r == '\u2028':
			w.out = append(w.out, `\u2028`...)
		case r == '\u2029':
			w.out = append(w.out, `\u2029`...)
		default:
			w.out = append(w.out, string(r)...)
		}
	}
	w.out = append(w.out, '"')
}
