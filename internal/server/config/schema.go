package config

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// field is one node of the schema: a setting, a group of settings, or a list of objects.
type field struct {
	name     string
	path     string // from the root, without the indexes of lists: "topics.history.age"
	help     string
	initial  string // the default as users write it; "" for none
	enum     []string
	min, max string
	size     bool // a number of bytes
	secret   bool
	restart  bool

	index int          // in the struct that it is a field of
	typ   reflect.Type // of the field

	fields []*field // of a group or of the objects of a list
}

func (f *field) isGroup() bool { return f.typ.Kind() == reflect.Struct }
func (f *field) isObjects() bool {
	return f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.Struct
}
func (f *field) isList() bool { return f.typ == reflect.TypeFor[[]string]() }
func (f *field) isValue() bool {
	return !f.isGroup() && !f.isObjects()
}

// child returns the field of that name.
func (f *field) child(name string) *field {
	i := slices.IndexFunc(f.fields, func(c *field) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return f.fields[i]
}

// names lists the fields.
func (f *field) names() []string {
	names := make([]string, len(f.fields))
	for i, c := range f.fields {
		names[i] = c.name
	}
	return names
}

// schema is Config as its tags describe it.
var schema = makeSchema(reflect.TypeFor[Config]())

func makeSchema(t reflect.Type) *field {
	root := &field{typ: t}
	root.fields = fieldsOf(t, root)
	return root
}

func fieldsOf(t reflect.Type, parent *field) []*field {
	var all []*field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if !sf.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("config: the field %s.%s has no yaml tag", t, sf.Name))
		}
		path := join(parent.path, name)
		tag := func(key string) string { return cmp.Or(sf.Tag.Get(key), foreignTags[path].Get(key)) }
		f := &field{
			name: name, path: path, index: i, typ: sf.Type,
			help: tag("help"), initial: tag("default"), min: tag("min"), max: tag("max"),
			size:   sf.Type == reflect.TypeFor[Size]() || tag("unit") == "bytes",
			secret: tag("secret") == "true", restart: parent.restart || tag("restart") == "true",
		}
		if enum := tag("enum"); enum != "" {
			f.enum = strings.Split(enum, ",")
		}
		switch {
		case f.isGroup():
			f.fields = fieldsOf(sf.Type, f)
		case f.isObjects():
			f.fields = fieldsOf(sf.Type.Elem(), f)
		case !supported(sf.Type):
			panic(fmt.Sprintf("config: the field %s.%s is a %s, which the schema does not know", t, sf.Name, sf.Type))
		}
		all = append(all, f)
	}
	return all
}

func supported(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[Size](), reflect.TypeFor[[]string]():
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

// setDefaults fills in what the tags say.
func (f *field) setDefaults(v reflect.Value) {
	for _, c := range f.fields {
		switch at := v.Field(c.index); {
		case c.isGroup():
			c.setDefaults(at)
		case c.initial != "":
			value, err := c.parse(c.initial)
			if err != nil {
				panic(fmt.Sprintf("config: the default of %s: %v", c.path, err))
			}
			at.Set(value)
		}
	}
}

// Default returns the configuration when nothing is set. Then every topic is good for trying things out: whoever comes back or
// comes late finds what was said, and sees who is there.
func Default() *Config {
	c := &Config{Topics: make([]Topic, 1)}
	schema.setDefaults(reflect.ValueOf(c).Elem())
	schema.child("topics").setDefaults(reflect.ValueOf(&c.Topics[0]).Elem())
	c.Topics[0].Pattern, c.Topics[0].Presence = ">", "full"
	c.Topics[0].History.Messages, c.Topics[0].History.Age = 100, 10*time.Minute
	return c
}

// Setting describes one value that can be set by flag and environment as well as in the file.
type Setting struct {
	Path    string // "drain.timeout"
	Help    string
	Default string
	Enum    []string
	Switch  bool // true or false
	List    bool // any number of values
	Secret  bool // not to be given as a flag

	kind string
}

// Flag is the setting's name on the command line, without dashes in front.
func (s *Setting) Flag() string { return flagOf(s.Path) }

// Placeholder says what the flag is to be given.
func (s *Setting) Placeholder() string {
	if len(s.Enum) > 0 {
		return strings.Join(s.Enum, "|")
	}
	return s.kind
}

// Env is the setting's name in the environment.
func (s *Setting) Env() string { return envOf(s.Path) }

// kind is a word in capitals for what a value is.
func (f *field) kind() string {
	switch {
	case f.size:
		return "SIZE"
	case f.typ == reflect.TypeFor[time.Duration]():
		return "DURATION"
	case f.typ.Kind() == reflect.String && fileName.MatchString(f.name):
		return "FILE"
	case f.path == "data":
		return "DIR"
	case f.path == "cluster":
		return "NAME=HOST:PORT"
	case f.path == "nats", f.name == "url":
		return "URL"
	case f.name == "listen":
		return "HOST:PORT"
	case f.typ.Kind() == reflect.String, f.isList():
		return "TEXT"
	}
	return "N"
}

// fileName matches settings that name a file.
var fileName = regexp.MustCompile(`^(.*-)?(ca|cert|key|file)$`)

func flagOf(path string) string { return strings.ReplaceAll(path, ".", "-") }
func envOf(path string) string {
	return "DUPLEX_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(path))
}

// Settings lists all of them, in the order of Config.
func Settings() []Setting {
	var all []Setting
	schema.each(func(f *field) {
		all = append(all, Setting{
			Path: f.path, Help: f.help, Default: f.initial, Enum: f.enum, Secret: f.secret,
			Switch: f.typ.Kind() == reflect.Bool, List: f.isList(), kind: f.kind(),
		})
	})
	return all
}

// each calls visit for every value that is not part of a list of objects.
func (f *field) each(visit func(*field)) {
	for _, c := range f.fields {
		switch {
		case c.isGroup():
			c.each(visit)
		case c.isValue():
			visit(c)
		}
	}
}

// Changes returns the paths of what differs between two configurations, and which of these take effect only at the next start.
func Changes(was, is *Config) (paths, restart []string) {
	schema.compare(reflect.ValueOf(was).Elem(), reflect.ValueOf(is).Elem(), func(f *field) {
		paths = append(paths, f.path)
		if f.restart {
			restart = append(restart, f.path)
		}
	})
	return paths, restart
}

func (f *field) compare(a, b reflect.Value, differs func(*field)) {
	for _, c := range f.fields {
		x, y := a.Field(c.index), b.Field(c.index)
		switch {
		case c.isGroup():
			c.compare(x, y, differs)
		case x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0:
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			differs(c)
		}
	}
}
