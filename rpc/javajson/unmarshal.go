package javajson

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Unmarshal reads text into m. Names may be snake_case or lowerCamelCase, enums names or numbers, 64-bit integers numbers or strings; null
// is the same as absent. The error says what is wrong in words that can go to the caller.
func Unmarshal(text []byte, m proto.Message) error {
	err := protojson.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(text, m)
	if err != nil {
		return fmt.Errorf("request body: %s", plain(err))
	}
	return closedEnums(m.ProtoReflect())
}

// plain takes the varying prefix off a protojson error.
func plain(err error) string {
	s := strings.ReplaceAll(err.Error(), "\u00a0", " ") // protojson varies this on purpose, too
	return strings.TrimPrefix(s, "proto: ")
}

// closedEnums refuses numbers that a closed (proto2) enum does not know; protojson lets them pass.
func closedEnums(m protoreflect.Message) (err error) {
	check := func(f protoreflect.FieldDescriptor, v protoreflect.Value) error {
		switch {
		case f.Kind() == protoreflect.EnumKind && f.Enum().IsClosed() && f.Enum().Values().ByNumber(v.Enum()) == nil:
			return fmt.Errorf("request body: %s: %d is none of %s", f.JSONName(), v.Enum(), choices(f.Enum()))
		case f.Message() != nil && !f.IsMap():
			return closedEnums(v.Message())
		}
		return nil
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = check(f, v.List().Get(i))
			}
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, one protoreflect.Value) bool {
				err = check(f.MapValue(), one)
				return err == nil
			})
		default:
			err = check(f, v)
		}
		return err == nil
	})
	return err
}

func choices(e protoreflect.EnumDescriptor) string {
	var all []string
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		all = append(all, fmt.Sprintf("%d %s", v.Number(), v.Name()))
	}
	return strings.Join(all, ", ")
}
