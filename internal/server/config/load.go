package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Input is where a configuration comes from.
type Input struct {
	File    string              // YAML file; empty: none
	Environ []string            // as os.Environ returns it
	Flags   map[string][]string // what was given on the command line, by the name of the flag
}

// Loaded is a valid configuration with what it came from. It is not changed after Load.
type Loaded struct {
	*Config
	Warnings []string // what is odd but no error, such as a variable that looks like a setting

	input   Input
	sources map[string]string // by path, with indexes: who set it; absent: default
}

// Problem is one thing that is wrong.
type Problem struct {
	Where string // "duplex.yaml:12", "--listen", "DUPLEX_LISTEN", or empty
	Path  string // of the setting, or empty
	Text  string // what is wrong, and what would be right
}

// String returns a line for people.
func (p Problem) String() string {
	var parts []string
	for _, s := range []string{p.Where, p.Path, p.Text} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Error is everything that is wrong with a configuration.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0].String()
	}
	lines := []string{fmt.Sprintf("the configuration has %d mistakes:", len(e.Problems))}
	for _, p := range e.Problems {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

// Load reads a configuration. The error is an *Error with all that is wrong.
func Load(in Input) (*Loaded, error) {
	l := &loader{loaded: &Loaded{Config: Default(), input: in, sources: map[string]string{}}}
	root := reflect.ValueOf(l.loaded.Config).Elem()
	if in.File != "" {
		l.readFile(in.File, root)
	}
	l.readEnv(in.Environ, root)
	l.readFlags(in.Flags, root)
	l.check()
	if len(l.problems) > 0 {
		return nil, &Error{l.problems}
	}
	return l.loaded, nil
}

// Reload reads the same sources again.
func (l *Loaded) Reload() (*Loaded, error) { return Load(l.input) }

type loader struct {
	loaded   *Loaded
	problems []Problem
}

func (l *loader) complain(where, path, format string, args ...any) {
	l.problems = append(l.problems, Problem{where, path, fmt.Sprintf(format, args...)})
}

// complainAt complains about a setting, wherever it was set.
func (l *loader) complainAt(path, format string, args ...any) {
	where := l.loaded.sources[path]
	for at := path; where == "" && at != ""; {
		at = at[:max(0, strings.LastIndexAny(at, ".["))] // what it is a part of was set there
		where = l.loaded.sources[at]
	}
	l.complain(where, path, format, args...)
}

func (l *loader) readEnv(environ []string, root reflect.Value) {
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "DUPLEX_") && value != "" {
			values[name] = value
		}
	}
	known := []string{}
	schema.eachValue(root, func(f *field, v reflect.Value) {
		name := envOf(f.path)
		known = append(known, name)
		text, given := values[name]
		if !given {
			return
		}
		delete(values, name)
		l.set(name, f, v, text)
	})
	for _, name := range slices.Sorted(keys(values)) {
		// The first are for other verbs, the others are what Kubernetes gives to pods beside a service of the name duplex.
		if slices.Contains(otherVariables, name) || strings.HasPrefix(name, "DUPLEX_SERVICE_") || strings.HasPrefix(name, "DUPLEX_PORT") {
			continue
		}
		text := name + " in the environment is not a setting"
		if near := nearest(name, known); near != "" {
			text += "; did you mean " + near + "?"
		}
		l.loaded.Warnings = append(l.loaded.Warnings, text)
	}
}

// otherVariables are read by the command itself.
var otherVariables = []string{"DUPLEX_CONFIG", "DUPLEX_SERVER", "DUPLEX_TOKEN", "DUPLEX_KEY"}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (l *loader) readFlags(flags map[string][]string, root reflect.Value) {
	known := map[string]bool{}
	schema.eachValue(root, func(f *field, v reflect.Value) {
		name := flagOf(f.path)
		if f.secret {
			return
		}
		known[name] = true
		if given := flags[name]; len(given) > 0 {
			l.set("--"+name, f, v, strings.Join(given, ","))
		}
	})
	for name := range flags {
		if !known[name] {
			l.complain("--"+name, "", "there is no such setting")
		}
	}
}

// set parses a value and remembers who gave it.
func (l *loader) set(where string, f *field, v reflect.Value, text string) {
	value, err := f.parse(text)
	if err != nil {
		l.complain(where, "", "%s", redact(f, text, err))
		return
	}
	v.Set(value)
	l.loaded.sources[f.path] = where
}

// redact keeps a secret out of a message about it.
func redact(f *field, text string, err error) string {
	if f.secret && text != "" {
		return strings.ReplaceAll(strings.ReplaceAll(err.Error(), fmt.Sprintf("%q", text), "this secret"), text, "this secret")
	}
	return err.Error()
}

// eachValue is each with the values of a configuration.
func (f *field) eachValue(at reflect.Value, visit func(*field, reflect.Value)) {
	for _, c := range f.fields {
		switch {
		case c.isGroup():
			c.eachValue(at.Field(c.index), visit)
		case c.isValue():
			visit(c, at.Field(c.index))
		}
	}
}
