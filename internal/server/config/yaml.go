package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile is the most bytes of a configuration file.
const maxFile = 1 << 20

// readFile adds what the file says to what is there.
func (l *loader) readFile(name string, root reflect.Value) {
	content, err := readBounded(name)
	if err != nil {
		l.complain(name, "", "%v", err)
		return
	}
	l.readYAML(name, content, root)
}

func (l *loader) readYAML(name string, content []byte, root reflect.Value) {
	d := &decoder{loader: l, file: name}
	document, err := parseYAML(content)
	if err != nil {
		d.complainAbout(err)
		return
	}
	if document != nil {
		d.group(schema, root, document, "")
	}
}

func readBounded(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		if pathError, ok := errors.AsType[*os.PathError](err); ok {
			err = pathError.Err // it is said already which file
		}
		return nil, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the configuration cannot be read: %w", err)
	case len(content) > maxFile:
		return nil, fmt.Errorf("the configuration has more than %s; is this the right file?", Size(maxFile))
	}
	return content, nil
}

// parseYAML returns the root of the only document, or nil for an empty one.
func parseYAML(content []byte) (*yaml.Node, error) {
	reader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	var document, second yaml.Node
	if err := reader.Load(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := reader.Load(&second); err == nil {
		return nil, &yaml.LoadError{Message: "a second document begins; one file holds one configuration", Mark: markOf(&second)}
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return document.Content[0], nil
}

func markOf(n *yaml.Node) (m yaml.Mark) {
	m.Line, m.Column = n.Line, n.Column
	return m
}

// decoder reads one file. It goes through the tree of nodes by the schema and not by the types of Go, so that it knows the line
// of everything and finds all mistakes at once.
type decoder struct {
	*loader
	file string
}

func (d *decoder) complainAbout(err error) {
	if broken, ok := errors.AsType[*yaml.LoadError](err); ok {
		where := d.file
		if broken.Mark.Line > 0 {
			where = fmt.Sprintf("%s:%d", d.file, broken.Mark.Line)
		}
		text := broken.Message
		if broken.ContextMsg != "" {
			text += " (" + broken.ContextMsg + ")"
		}
		d.complain(where, "", "this is not YAML: %s", text)
		return
	}
	d.complain(d.file, "", "this is not YAML: %v", err)
}

func (d *decoder) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", d.file, n.Line) }

// group reads the keys of a mapping. path is that of the group, with the indexes of lists.
func (d *decoder) group(f *field, v reflect.Value, n *yaml.Node, path string) {
	n = resolve(n)
	if isNull(n) {
		return // "drain:" with nothing below it
	}
	if n.Kind != yaml.MappingNode {
		d.complain(d.at(n), path, "keys are expected here (%s), not %s", strings.Join(f.names(), ", "), describe(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line, double := seen[key.Value]; double {
			d.complain(d.at(key), join(path, key.Value), "this key is there twice; the first is in line %d", line)
			continue
		}
		seen[key.Value] = key.Line
		c := f.child(key.Value)
		if c == nil {
			d.complain(d.at(key), path, "%s", unknownKey(f, key.Value))
			continue
		}
		d.value(c, v.Field(c.index), value, join(path, c.name))
	}
}

func (d *decoder) value(f *field, v reflect.Value, n *yaml.Node, path string) {
	n = resolve(n)
	switch {
	case f.isGroup():
		d.group(f, v, n, path)
	case isNull(n):
		// "listen:" with nothing behind it says nothing
	case f.isObjects():
		d.objects(f, v, n, path)
	case f.isList() && n.Kind == yaml.SequenceNode:
		d.list(v, n, path)
	case n.Kind != yaml.ScalarNode:
		d.complain(d.at(n), path, "a value is expected here, not %s", describe(n))
	default:
		value, err := f.parse(n.Value)
		if err != nil {
			d.complain(d.at(n), path, "%s", redact(f, n.Value, err))
			return
		}
		v.Set(value)
		d.loaded.sources[path] = d.at(n)
	}
}

func (d *decoder) list(v reflect.Value, n *yaml.Node, path string) {
	texts := []string{}
	for _, element := range n.Content {
		if element = resolve(element); element.Kind != yaml.ScalarNode || isNull(element) {
			d.complain(d.at(element), path, "a list of values is expected here, but one of them is %s", describe(element))
			continue
		}
		texts = append(texts, element.Value)
	}
	v.Set(reflect.ValueOf(texts))
	d.loaded.sources[path] = d.at(n)
}

func (d *decoder) objects(f *field, v reflect.Value, n *yaml.Node, path string) {
	if n.Kind != yaml.SequenceNode {
		d.complain(d.at(n), path, "a list is expected here, each entry beginning with a dash, not %s", describe(n))
		return
	}
	all := reflect.MakeSlice(f.typ, len(n.Content), len(n.Content))
	for i, element := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.loaded.sources[at] = d.at(element)
		f.setDefaults(all.Index(i))
		d.group(f, all.Index(i), element, at)
	}
	v.Set(all)
	d.loaded.sources[path] = d.at(n)
}

// unknownKey says what was probably meant: a key here, one that belongs elsewhere, or any of those that there are.
func unknownKey(f *field, key string) string {
	text := fmt.Sprintf("there is no key %q", key)
	elsewhere := ""
	schema.each(func(c *field) {
		if elsewhere == "" && (c.name == key || flagOf(c.path) == key || c.path == key) {
			elsewhere = c.path
		}
	})
	if elsewhere != "" {
		return fmt.Sprintf("%s here; did you mean %s?", text, elsewhere)
	}
	if near := nearest(key, f.names()); near != "" {
		return text + "; did you mean " + near + "?"
	}
	return text + "; there are: " + strings.Join(f.names(), ", ")
}

func join(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

// resolve returns what an alias stands for. The schema is not recursive, so neither is what is read of a recursive alias.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case isNull(n):
		return "nothing"
	}
	return fmt.Sprintf("%.40q", n.Value)
}
