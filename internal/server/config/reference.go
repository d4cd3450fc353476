package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Reference returns the settings as tables in Markdown, for docs/configuration.md.
func Reference() string {
	var b strings.Builder
	top := &field{}
	for _, f := range schema.fields {
		if f.isValue() {
			top.fields = append(top.fields, f)
		}
	}
	b.WriteString("### The server\n\n")
	top.writeTable(&b, "")
	for _, f := range schema.fields {
		if f.isValue() {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n", f.name)
		if f.help != "" {
			b.WriteString(f.help + "\n\n")
		}
		if f.isObjects() {
			b.WriteString("A list, in the file only.\n\n")
			f.writeTable(&b, f.path+".")
			continue
		}
		f.writeTable(&b, "")
	}
	return b.String()
}

// writeTable writes the values of a group and of the groups and lists in it. Paths are shown without prefix.
func (f *field) writeTable(b *strings.Builder, prefix string) {
	b.WriteString("| setting | values | default | |\n|---|---|---|---|\n")
	f.writeRows(b, prefix)
}

func (f *field) writeRows(b *strings.Builder, prefix string) {
	for _, c := range f.fields {
		name := strings.TrimPrefix(c.path, prefix)
		if c.isObjects() {
			fmt.Fprintf(b, "| `%s` | list, file only | | %s |\n", name, c.help)
		}
		if !c.isValue() {
			c.writeRows(b, prefix)
			continue
		}
		initial := c.initial
		if initial != "" {
			initial = "`" + initial + "`"
		}
		help := c.help
		if c.secret {
			help += " A secret: not a flag."
		}
		if c.restart {
			help += " †"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, c.values(), initial, strings.ReplaceAll(help, "|", `\|`))
	}
}

// values says what a setting may be.
func (f *field) values() string {
	kind := map[reflect.Kind]string{
		reflect.String: "text", reflect.Bool: "`true`, `false`", reflect.Int: "whole number", reflect.Int64: "whole number", reflect.Float64: "number",
	}[f.typ.Kind()]
	switch {
	case len(f.enum) > 0:
		return "`" + strings.Join(f.enum, "`, `") + "`"
	case f.typ == reflect.TypeFor[time.Duration]():
		kind = "duration"
	case f.size:
		kind = "size"
	case f.isList():
		kind = "list of texts"
	}
	switch {
	case f.min != "" && f.max != "":
		return fmt.Sprintf("%s, %s to %s", kind, f.min, f.max)
	case f.min != "":
		return fmt.Sprintf("%s, at least %s", kind, f.min)
	}
	return kind
}
