package config

import (
	"reflect"
	"testing"
)

// FuzzFile: whatever a file holds, it is a configuration or there is a reason why not.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{whole, "", "a: [1\n", "log: &a {level: *a}", "topics: [{pattern: a}, *x]", "? {a: b}\n: c", "<<: *a"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		l := &loader{loaded: &Loaded{Config: Default(), sources: map[string]string{}}}
		l.readYAML("duplex.yaml", content, reflect.ValueOf(l.loaded.Config).Elem())
		l.check()
		for _, p := range l.problems {
			if p.Where == "" || p.Text == "" {
				t.Errorf("a problem says too little: %+v", p)
			}
		}
		if rules := l.loaded.Rules(); len(rules) != len(l.loaded.Topics) {
			t.Errorf("%d rules of %d topics", len(rules), len(l.loaded.Topics))
		}
	})
}
