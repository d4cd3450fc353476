package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
)

// document is openapi.json, as far as the tests look into it.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct {
		Schemas   map[string]*schema
		Responses map[string]response
	}
	used map[string]bool // "Name.property" of what real answers had
}

type operation struct {
	OperationID string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   schema
	}
	RequestBody *struct{ Content map[string]media }
	Responses   map[string]response
}

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]media
}

type media struct{ Schema *schema }

// schema is JSON Schema, as far as openapi.json uses it. Other keywords make reading it fail.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Properties           map[string]*schema
	Required             []string
	AdditionalProperties *bool
	Items                *schema
	AnyOf                []schema
	Minimum              *float64
	ExclusiveMinimum     *float64
	Maximum              *float64
	MinItems             *int
	UniqueItems          bool
	MaxLength            *int
	Pattern              string
	ContentEncoding      string
	Default              any
	Description          string
}

func readDocument(t *testing.T) *document {
	t.Helper()
	s := serve(t, nil)
	a := s.do("GET", "/api/openapi.json", nil)
	if a.StatusCode != 200 || a.body != string(openAPI) || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s", a.Status)
	}
	d := &document{used: map[string]bool{}}
	if err := json.Unmarshal(openAPI, d); err != nil {
		t.Fatal(err)
	}
	if d.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %s", d.OpenAPI)
	}
	// The schemas once more, and nothing in them that the tests do not know.
	var parts struct {
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(openAPI, &parts); err != nil {
		t.Fatal(err)
	}
	for name, raw := range parts.Components.Schemas {
		decoder := json.NewDecoder(strings.NewReader(string(raw)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&schema{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return d
}

// check holds a value to a schema, and remembers which properties there were.
func (d *document) check(s *schema, value any, at string) error {
	if name, is := strings.CutPrefix(s.Ref, "#/components/schemas/"); is {
		known := d.Components.Schemas[name]
		if known == nil {
			return fmt.Errorf("there is no schema %s", s.Ref)
		}
		return d.check(known, value, name)
	}
	switch v := value.(type) {
	case map[string]any:
		return d.checkObject(s, v, at)
	case []any:
		if s.Type != "array" {
			return fmt.Errorf("%s: a list, not %q", at, s.Type)
		}
		for _, item := range v {
			if err := d.check(s.Items, item, at); err != nil {
				return err
			}
		}
		return nil
	case float64:
		if s.Type == "integer" && v == float64(int64(v)) && (s.Minimum == nil || v >= *s.Minimum) || s.Type == "number" || s.Type == "" {
			return nil
		}
	case string:
		if s.Type == "string" || s.Type == "" {
			return nil
		}
	case bool:
		if s.Type == "boolean" || s.Type == "" {
			return nil
		}
	case nil:
		if s.Type == "" {
			return nil
		}
	}
	return fmt.Errorf("%s: %v is no %s", at, value, s.Type)
}

func (d *document) checkObject(s *schema, v map[string]any, at string) error {
	if s.Type == "" {
		return nil
	}
	if s.Type != "object" {
		return fmt.Errorf("%s: an object, not %q", at, s.Type)
	}
	for _, name := range s.Required {
		if _, has := v[name]; !has {
			return fmt.Errorf("%s: no %s", at, name)
		}
	}
	for name, value := range v {
		property := s.Properties[name]
		if property == nil {
			if s.AdditionalProperties != nil && !*s.AdditionalProperties {
				return fmt.Errorf("%s: %s is not described", at, name)
			}
			continue
		}
		d.used[at+"."+name] = true
		if err := d.check(property, value, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

// TestDocumentAndRoutes: what the document describes is what there is.
func TestDocumentAndRoutes(t *testing.T) {
	d := readDocument(t)
	var described, real []string
	ids := map[string]bool{}
	for path, operations := range d.Paths {
		for method, o := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
			if o.OperationID == "" || ids[o.OperationID] {
				t.Errorf("%s %s: operationId %q", method, path, o.OperationID)
			}
			ids[o.OperationID] = true
		}
	}
	for _, r := range routes {
		real = append(real, r.method+" "+r.path)
	}
	slices.Sort(described)
	slices.Sort(real)
	if !slices.Equal(described, real) {
		t.Errorf("described: %v\nreal: %v", described, real)
	}
}

// TestDocumentAndInput: every parameter and field that is described is known, and the right ones are required.
func TestDocumentAndInput(t *testing.T) {
	d := readDocument(t)
	s := serve(t, nil)
	for path, operations := range d.Paths {
		if get, is := operations["get"]; is {
			for _, p := range get.Parameters {
				a := s.do("GET", path+"?"+url.Values{p.Name: {"1"}}.Encode(), nil)
				if strings.Contains(a.body, "there is no parameter") {
					t.Errorf("GET %s: %s", path, a.body)
				}
				if p.Required && !strings.Contains(s.do("GET", path, nil).body, p.Name+" is missing") {
					t.Errorf("GET %s works without %s", path, p.Name)
				}
			}
		}
		post, is := operations["post"]
		if !is {
			continue
		}
		for _, p := range post.Parameters {
			if a := s.do("POST", path+"?"+url.Values{p.Name: {"1"}}.Encode(), []byte{}); strings.Contains(a.body, "there is no parameter") {
				t.Errorf("POST %s: %s", path, a.body)
			}
		}
		body := post.RequestBody.Content["application/json"].Schema
		if name, is := strings.CutPrefix(body.Ref, "#/components/schemas/"); is {
			body = d.Components.Schemas[name]
		}
		for name := range body.Properties {
			if a := s.do("POST", path, `{"`+name+`":null}`); strings.Contains(a.body, "there is no field") {
				t.Errorf("POST %s: %s", path, a.body)
			}
		}
		// The text about an unknown field lists those that there are.
		a := s.do("POST", path, `{"`+strings.Repeat("z", 60)+`":1}`)
		listed := strings.Join(slices.Sorted(maps.Keys(body.Properties)), ", ")
		s.wantError(a, 400, hub.CodeBadRequest, "there are "+listed)
	}
}

// TestDocumentAndAnswers: real answers are as described, and all that is described comes in some answer.
func TestDocumentAndAnswers(t *testing.T) {
	d := readDocument(t)
	s := serve(t, nil)
	ann := s.enter("s1", "ann", "chat.lobby", "scores.a")
	s.enter("s2", "~1", "chat.lobby")
	if _, err := ann.Publish(t.Context(), "chat.lobby", hub.Publication{Data: []byte("1"), ID: "1", Key: "k", Meta: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"POST", "/api/publish", `{"topic":"chat.lobby","data":{},"messageId":"2"}`},
		{"POST", "/api/publish", `{"topic":"chat.lobby","data":{},"messageId":"2"}`},
		{"POST", "/api/publish?topic=chat.lobby", []byte{0xff}},
		{"POST", "/api/broadcast", `{"topics":["chat.a","a..b"],"data":[],"messageId":"3"}`},
		{"POST", "/api/broadcast", `{"topics":["chat.a"],"data":[],"messageId":"3"}`},
		{"GET", "/api/history?topic=chat.lobby", nil},
		{"GET", "/api/history?topic=chat.lobby&epoch=x", nil},
		{"GET", "/api/presence?topic=chat.lobby", nil},
		{"GET", "/api/presence?topic=scores.a", nil},
		{"GET", "/api/topics", nil},
		{"GET", "/api/sessions", nil},
		{"POST", "/api/unsubscribe", `{"user":"ann","topic":"chat.lobby"}`},
		{"POST", "/api/disconnect", `{"user":"ann"}`},
		{"POST", "/api/revoke", `{"user":"ann"}`},
		{"POST", "/api/shed", `{"fraction":0.5}`},
		{"GET", "/api/openapi.json", nil},
		{"GET", "/api/history", nil},
		{"GET", "/api/presence?topic=other", nil},
	} {
		path, _, _ := strings.Cut(c.path, "?")
		described := d.Paths[path][strings.ToLower(c.method)].Responses
		a := s.do(c.method, c.path, c.body)
		answer, is := described[fmt.Sprint(a.StatusCode)]
		if !is {
			answer = d.Components.Responses[strings.TrimPrefix(described["default"].Ref, "#/components/responses/")]
		}
		if err := d.checkAnswer(answer, a); err != nil {
			t.Errorf("%s %s: %v in %s", c.method, c.path, err, a.body)
		}
	}
	part := serveOn(t, torn{hub.NewMemoryBroker(hub.MemoryOptions{})}, nil)
	for _, c := range [][3]string{{"GET", "/api/topics"}, {"GET", "/api/sessions"}, {"POST", "/api/shed", `{"fraction":1,"all":true}`}} {
		var body any
		if c[2] != "" {
			body = c[2]
		}
		if err := d.checkAnswer(d.Paths[c[1]][strings.ToLower(c[0])].Responses["200"], part.do(c[0], c[1], body)); err != nil {
			t.Error(err)
		}
	}
	full := serve(t, func(_ *Config, o *Options) {
		o.Revoke = func(context.Context, string) error { return &hub.Error{Code: hub.CodeRate, Retry: 1} }
	})
	if err := d.checkAnswer(d.Components.Responses["Error"], full.do("POST", "/api/revoke", `{"user":"a"}`)); err != nil {
		t.Error(err)
	}
	for name, s := range d.Components.Schemas {
		for property := range s.Properties {
			if input := name == "Publish" || name == "Broadcast"; !input && !d.used[name+"."+property] {
				t.Errorf("no answer has %s.%s", name, property)
			}
		}
	}
}

func (d *document) checkAnswer(described response, a answer) error {
	content, is := described.Content["application/json"]
	if !is || a.Header.Get("Content-Type") != "application/json" {
		return errors.New("no such type of answer is described")
	}
	var value any
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		return err
	}
	return d.check(content.Schema, value, http.StatusText(a.StatusCode))
}
