package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// redacted stands for a secret that is set.
const redacted = "(secret)"

// Print writes the configuration as a YAML file, with a comment on where each value came from. Secrets are not shown. Apart from
// those the output is a configuration file that means the same.
func (l *Loaded) Print(w io.Writer) error {
	root := l.groupNode(schema, reflect.ValueOf(l.Config).Elem(), "")
	text, err := yaml.Dump(root, yaml.WithLineWidth(-1))
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

func (l *Loaded) groupNode(f *field, v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, c := range f.fields {
		n.Content = append(n.Content, scalar(c.name), l.node(c, v.Field(c.index), join(path, c.name)))
	}
	return n
}

func (l *Loaded) node(f *field, v reflect.Value, path string) *yaml.Node {
	switch {
	case f.isGroup():
		return l.groupNode(f, v, path)
	case f.isObjects():
		return l.objectsNode(f, v, path)
	}
	var n *yaml.Node
	switch {
	case f.isList():
		n = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			n.Content = append(n.Content, scalar(f.show(v.Index(i).String())))
		}
	default:
		n = scalar(f.show(f.format(v)))
		if f.typ.Kind() != reflect.String {
			n.Tag = "" // plain: numbers and durations need no quotes
		}
	}
	n.LineComment = "# " + l.source(path)
	return n
}

func (f *field) show(text string) string {
	if f.secret && text != "" {
		return redacted
	}
	return text
}

func (l *Loaded) objectsNode(f *field, v reflect.Value, path string) *yaml.Node {
	if v.Len() == 0 {
		return &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, LineComment: "# " + l.source(path)}
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range v.Len() {
		n.Content = append(n.Content, l.groupNode(f, v.Index(i), fmt.Sprintf("%s[%d]", path, i)))
	}
	return n
}

// source says who set a value.
func (l *Loaded) source(path string) string {
	if where, set := l.sources[path]; set {
		return where
	}
	return "default"
}

func scalar(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if strings.TrimSpace(text) != text || text == "" {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
