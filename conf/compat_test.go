package conf

import (
	"os"
	"strings"
	"testing"
)

// TestCompatNamesEveryUpstreamKey: docs/compat.md has a row for each key of OpenMLDB's own, and none for a key that is not taken.
func TestCompatNamesEveryUpstreamKey(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/compat.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(string(b), "\n### ", 3)
	if len(parts) != 3 {
		t.Fatal("docs/compat.md has not two parts of keys")
	}
	synctool, _, _ := strings.Cut(parts[2], "\n## ")
	for text, list := range map[string][]Key{parts[1]: CollectorKeys(), synctool: SynctoolKeys()} {
		rows := strings.Count(text, "\n| `")
		for _, k := range list {
			if !k.Upstream {
				continue
			}
			rows--
			_, row, ok := strings.Cut(text, "\n| `"+k.Name+"` | ")
			row, _, _ = strings.Cut(row, "\n")
			switch {
			case !ok:
				t.Errorf("%s is missing", k.Name)
			case (k.Ignored != "") != strings.Contains(row, "accepted without effect"):
				t.Errorf("%s is described wrongly: %s", k.Name, row)
			case k.Default != "" && !k.Required && !strings.Contains(row, "`"+k.Default+"`"):
				t.Errorf("%s has the default %s: %s", k.Name, k.Default, row)
			}
		}
		if rows != 0 {
			t.Errorf("%d rows too many or too few", rows)
		}
	}
}
