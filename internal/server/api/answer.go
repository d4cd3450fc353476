package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// The codes that only the API has. The others are the hub's.
const (
	codeKeyMissing  hub.Code = "key-missing"
	codeKeyInvalid  hub.Code = "key-invalid"
	codeNoKeys      hub.Code = "no-keys"
	codeNotFound    hub.Code = "not-found"
	codeMethod      hub.Code = "method-not-allowed"
	codeContentType hub.Code = "content-type"
)

// statuses says with which status a code goes. Others go with 500.
var statuses = map[hub.Code]int{
	hub.CodeBadRequest: http.StatusBadRequest, hub.CodeBadTopic: http.StatusBadRequest,
	codeKeyMissing: http.StatusUnauthorized, codeKeyInvalid: http.StatusUnauthorized,
	codeNoKeys: http.StatusForbidden, hub.CodeForbidden: http.StatusForbidden, hub.CodeRefused: http.StatusForbidden,
	codeNotFound: http.StatusNotFound, hub.CodeNoHistory: http.StatusNotFound, hub.CodeNoPresence: http.StatusNotFound,
	codeMethod:          http.StatusMethodNotAllowed,
	hub.CodeTopicFull:   http.StatusConflict,
	hub.CodeTooLarge:    http.StatusRequestEntityTooLarge,
	codeContentType:     http.StatusUnsupportedMediaType,
	hub.CodeRate:        http.StatusTooManyRequests,
	hub.CodeUnavailable: http.StatusServiceUnavailable,
	hub.CodeTimeout:     http.StatusGatewayTimeout,
}

// problem is how an error is told.
type problem struct {
	Code    hub.Code `json:"code"`
	Message string   `json:"message"`
	Retry   int64    `json:"retry,omitempty"` // milliseconds
}

// problemOf makes any error fit to be told. What is not meant for clients is logged, and is told as internal.
func (a *API) problemOf(err error, path string) problem {
	known, ok := errors.AsType[*hub.Error](err)
	switch {
	case ok:
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		known = &hub.Error{Code: hub.CodeUnavailable, Message: "it took too long", Retry: time.Second}
	default:
		a.options.Logger.Error("a request to the API failed", "path", path, "error", err)
		known = hub.Errorf(hub.CodeInternal, "the server could not do it")
	}
	return problem{known.Code, known.Message, (known.Retry + time.Millisecond - 1).Milliseconds()}
}

func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problemOf(err, r.URL.Path)
	status, ok := statuses[p.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="duplex"`)
	}
	if p.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(float64(p.Retry)/1000))))
	}
	send(w, r, status, struct {
		Error problem `json:"error"`
	}{p})
}

// raw is an answer that is JSON already.
type raw []byte

func send(w http.ResponseWriter, r *http.Request, status int, answer any) {
	body, is := answer.(raw)
	if !is {
		encoded, err := json.Marshal(answer)
		if err != nil {
			panic(err) // answers are structs of ours, and their JSON has been checked
		}
		body = append(encoded, '\n')
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever has gone away needs no answer
	}
}
