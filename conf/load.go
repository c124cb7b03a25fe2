package conf

import (
	"errors"
	"fmt"
)

// assignment is one key = value of a file or command line.
type assignment struct {
	source string
	line   int
	key    string
	value  string
}

// fill sets defaults, then the assignments in order, later ones winning. It goes on after an error so that one
// run names every mistake; warnings are for keys that are accepted without effect.
func (k keys) fill(given []assignment) (warnings []string, err error) {
	var errs []error
	for _, one := range k.list {
		if one.set == nil {
			continue
		}
		if one.Required && one.Default == "" {
			continue
		}
		if e := one.set(one.Default); e != nil {
			panic(fmt.Sprintf("conf: default of %s: %v", one.Name, e)) // a mistake of the table, seen by every test
		}
	}
	seen := map[string]bool{}
	for _, a := range given {
		one := k.find(a.key)
		switch {
		case one == nil:
			reason := "unknown key"
			if near := k.nearest(a.key); near != "" {
				reason += ": did you mean " + near + "?"
			}
			errs = append(errs, &Error{a.source, a.line, a.key, reason})
		case one.Ignored != "":
			warnings = append(warnings, fmt.Sprintf("%s: accepted without effect: %s", (&Error{a.source, a.line, "", a.key}).Error(), one.Ignored))
		default:
			seen[one.Name] = a.value != ""
			if e := one.set(a.value); e != nil {
				errs = append(errs, &Error{a.source, a.line, a.key, e.Error()})
			}
		}
	}
	for _, one := range k.list {
		if one.Required && !seen[one.Name] && one.Default == "" {
			source := "conf"
			if len(given) > 0 {
				source = given[0].source
			}
			errs = append(errs, &Error{source, 0, one.Name, "required and not set: " + one.Help})
		}
	}
	return warnings, errors.Join(errs...)
}
