package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

// read reads the body.
func (c *call) read() error {
	body, err := io.ReadAll(c.Body)
	if tooLarge, is := errors.AsType[*http.MaxBytesError](err); is {
		return hub.Errorf(hub.CodeTooLarge, "a request has at most %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return hub.Errorf(hub.CodeBadRequest, "the request was not sent completely")
	}
	c.body = body
	return nil
}

// mediaType is the content type without its parameters.
func (c *call) mediaType() string {
	kind, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type"))
	return kind
}

func wrongType(allowed string) error {
	return hub.Errorf(codeContentType, "the body is sent with Content-Type: %s", allowed)
}

// fields are what an object, or a query, may have: pointers to where the values go.
type fields map[string]any

// decode reads the body, an object of these fields and no others. null stands for a field that is absent, except where it goes into a
// json.RawMessage.
func (c *call) decode(into fields) error {
	if c.mediaType() != "application/json" {
		return wrongType("application/json")
	}
	if len(c.URL.RawQuery) > 0 {
		return hub.Errorf(hub.CodeBadRequest, "%s takes no query; the body says everything", c.URL.Path)
	}
	if first := bytes.TrimLeft(c.body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return hub.Errorf(hub.CodeBadRequest, "the body is a JSON object")
	}
	if !utf8.Valid(c.body) { // which encoding/json lets pass, and clients would have to end their connections for
		return hub.Errorf(hub.CodeBadRequest, "the body is not UTF-8")
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &given); err != nil {
		return hub.Errorf(hub.CodeBadRequest, "the body is not JSON: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		target, known := into[name]
		if !known {
			return unknown("field", name, into)
		}
		if err := json.Unmarshal(given[name], target); err != nil {
			return hub.Errorf(hub.CodeBadRequest, "%s: %s", name, expected(target))
		}
	}
	return nil
}

// query reads the query in the same way.
func (c *call) query(into fields) error {
	given, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return hub.Errorf(hub.CodeBadRequest, "the query cannot be read: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		target, known := into[name]
		switch {
		case !known:
			return unknown("parameter", name, into)
		case len(given[name]) > 1:
			return hub.Errorf(hub.CodeBadRequest, "%s is there %d times", name, len(given[name]))
		case !utf8.ValidString(given[name][0]):
			return hub.Errorf(hub.CodeBadRequest, "%s is not UTF-8", name)
		}
		if err := set(target, given[name][0]); err != nil {
			return hub.Errorf(hub.CodeBadRequest, "%s: %s", name, expected(target))
		}
	}
	return nil
}

func set(target any, value string) (err error) {
	switch t := target.(type) {
	case *string:
		*t = value
	case *int:
		*t, err = strconv.Atoi(value)
	case **uint64:
		*t = new(uint64)
		**t, err = strconv.ParseUint(value, 10, 64)
	case *json.RawMessage:
		*t = json.RawMessage(value)
	default:
		panic(fmt.Sprintf("no query goes into a %T", target))
	}
	return err
}

func expected(target any) string {
	switch target.(type) {
	case *string:
		return "a string is needed"
	case *[]string:
		return "a list of strings is needed"
	case *int, *int64, **uint64:
		return "a whole number is needed"
	case *float64:
		return "a number is needed"
	case *bool:
		return "true or false is needed"
	case *[]byte, **[]byte:
		return "bytes in base64 are needed"
	}
	return "JSON is needed"
}

func unknown(what, name string, known fields) error {
	names := slices.Sorted(maps.Keys(known))
	return hub.Errorf(hub.CodeBadRequest, "there is no %s %.64q%s", what, name, didYouMean(name, names))
}

// didYouMean names what is nearest to a name that does not exist, or all there are.
func didYouMean(name string, known []string) string {
	best, least := "", min(len(name)/3+2, 8)
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case len(known) == 0:
		return ""
	}
	return "; there are " + strings.Join(known, ", ")
}

// distance is how many letters must be put in, taken out or replaced to make a into b. Very long names are not looked at closely.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
