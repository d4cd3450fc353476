package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"

	"github.com/alecthomas/kong"

	"github.com/duplex-websocket/duplex/internal/server/config"
)

// settingFlags are the flags of all settings of duplex serve, made from their schema, and the file that has more of them. The package
// config reads what they are given, so that a mistake is told in the same words wherever it was made.
type settingFlags struct {
	Config string `placeholder:"FILE" env:"DUPLEX_CONFIG" help:"Read the settings in this YAML file (docs/configuration.md); flags win."`
	kong.Plugins
}

// newSettingFlags makes the flags. They are a struct, as kong wants them, that is put together here.
func newSettingFlags() settingFlags {
	var fields []reflect.StructField
	for i, s := range config.Settings() {
		if s.Secret {
			continue
		}
		help, kind := s.Help, reflect.TypeFor[*string]()
		switch {
		case s.Switch:
			kind = reflect.TypeFor[*bool]()
		case s.List:
			kind = reflect.TypeFor[[]string]()
		}
		if s.Default != "" && s.Default != "false" {
			help += fmt.Sprintf(" (default %s)", s.Default)
		}
		tag := fmt.Sprintf("name:%q help:%q placeholder:%q", s.Flag(), help, s.Placeholder())
		if s.Switch {
			tag += ` negatable:""`
		}
		fields = append(fields, reflect.StructField{Name: "Setting" + strconv.Itoa(i), Type: kind, Tag: reflect.StructTag(tag)})
	}
	return settingFlags{Plugins: kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}}
}

// given returns what was given on the command line, by the name of the flag.
func (f *settingFlags) given() map[string][]string {
	given := map[string][]string{}
	values := reflect.ValueOf(f.Plugins[0]).Elem()
	for i := range values.NumField() {
		name := values.Type().Field(i).Tag.Get("name")
		switch v := values.Field(i).Interface().(type) {
		case *string:
			if v != nil {
				given[name] = []string{*v}
			}
		case *bool:
			if v != nil {
				given[name] = []string{strconv.FormatBool(*v)}
			}
		case []string:
			if v != nil {
				given[name] = v
			}
		}
	}
	return given
}

// load reads all sources of settings.
func (f *settingFlags) load() (*config.Loaded, error) {
	return config.Load(config.Input{File: f.Config, Environ: os.Environ(), Flags: f.given()})
}
