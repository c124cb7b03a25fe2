package conf

// Setting is one key of a conf file with the value in use.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`            // "***" for what is secret and set
	Source string `json:"source"`           // file or default
	Line   int    `json:"line,omitempty"`   // in the file
	Unused string `json:"unused,omitempty"` // why it has no effect
}

// SynctoolInUse lists what a properties file sets, in the order of the shipped file, then the defaults of the keys that it leaves out. The file must be
// one that LoadSynctool takes.
func SynctoolInUse(path string) ([]Setting, error) {
	given, err := readProperties(path)
	if err != nil {
		return nil, err
	}
	k := synctoolKeys(&Synctool{})
	set := map[string][]assignment{} // by the table's name, which may stand for several
	for _, a := range given {
		if one := k.find(a.key); one != nil {
			set[one.Name] = append(set[one.Name], a)
		}
	}
	var out, rest []Setting
	for _, one := range k.list {
		for _, a := range set[one.Name] {
			s := Setting{Key: a.key, Value: a.value, Source: "file", Line: a.line, Unused: one.Ignored}
			if one.Secret && s.Value != "" {
				s.Value = "***"
			}
			out = append(out, s)
		}
		if len(set[one.Name]) == 0 && one.Ignored == "" {
			rest = append(rest, Setting{Key: one.Name, Value: one.Default, Source: "default"})
		}
	}
	return append(out, rest...), nil
}
