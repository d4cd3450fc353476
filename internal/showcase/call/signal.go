package call

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxSignal    = 64 << 10 // bytes
	maxCandidate = 1 << 10
	maxMid       = 64
)

// Kinds of signals. Those for the setup of the connection are described in the WebRTC specification, under "perfect negotiation".
const (
	hello       = "hello"       // I am here, as this instance of the page; calling says that a call goes on, as after a reload
	ring        = "ring"        // I call you
	accept      = "accept"      // I take the call
	decline     = "decline"     // I do not
	hangUp      = "hang-up"     // the call is over
	media       = "media"       // whether I send sound and picture now
	description = "description" // an offer or an answer
	candidate   = "candidate"   // an address under which I may be reached
)

// signal is one message of a room. From and To are instances of the page, which are new after each reload; a hello may be to nobody yet.
type signal struct {
	Kind    string `json:"kind"`
	From    string `json:"from"`
	To      string `json:"to,omitempty"`
	Calling bool   `json:"calling,omitempty"`
	Audio   bool   `json:"audio,omitempty"`
	Video   bool   `json:"video,omitempty"`

	Description *struct {
		Type string `json:"type"`
		SDP  string `json:"sdp"`
	} `json:"description,omitempty"`
	Candidate *struct {
		Candidate        string  `json:"candidate"`
		SDPMid           *string `json:"sdpMid"`
		SDPMLineIndex    *int    `json:"sdpMLineIndex"`
		UsernameFragment *string `json:"usernameFragment"`
	} `json:"candidate,omitempty"`
}

func badSignal(format string, args ...any) error { return hub.Errorf(codeBadSignal, format, args...) }

var instance = regexp.MustCompile(`^[0-9a-zA-Z-]{8,40}$`)

// checkSignal refuses what is not one of the signals, whole and nothing else.
func checkSignal(data []byte) error {
	var s signal
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return badSignal("this is no signal: %v", err)
	}
	switch {
	case !instance.MatchString(s.From) || s.To != "" && !instance.MatchString(s.To):
		return badSignal("from and to are instances of the page: 8 to 40 letters, digits and -")
	case s.To == "" && s.Kind != hello:
		return badSignal("only a hello is to nobody in particular")
	case (s.Description != nil) != (s.Kind == description) || (s.Candidate != nil) != (s.Kind == candidate):
		return badSignal("a %s comes with what its name says, and nothing else does", shorten(s.Kind))
	}
	switch s.Kind {
	case hello, ring, accept, decline, hangUp, media:
		return nil
	case description:
		return s.checkDescription()
	case candidate:
		return s.checkCandidate()
	default:
		return badSignal("there is no signal %q", shorten(s.Kind))
	}
}

func (s *signal) checkDescription() error {
	if s.Description.Type != "offer" && s.Description.Type != "answer" {
		return badSignal("a description is an offer or an answer, not %q", shorten(s.Description.Type))
	}
	if !strings.HasPrefix(s.Description.SDP, "v=0\r\n") {
		return badSignal("sdp is a session description: it begins with v=0")
	}
	return nil
}

func (s *signal) checkCandidate() error {
	c := s.Candidate
	// The empty candidate says that there are no more.
	if c.Candidate != "" && !strings.HasPrefix(c.Candidate, "candidate:") || len(c.Candidate) > maxCandidate || strings.ContainsAny(c.Candidate, "\r\n") {
		return badSignal("a candidate begins with \"candidate:\" and has one line of at most %d bytes", maxCandidate)
	}
	if c.SDPMid != nil && len(*c.SDPMid) > maxMid || c.UsernameFragment != nil && len(*c.UsernameFragment) > 256 ||
		c.SDPMLineIndex != nil && (*c.SDPMLineIndex < 0 || *c.SDPMLineIndex > 100) {
		return badSignal("sdpMid, sdpMLineIndex or usernameFragment of a candidate is out of range")
	}
	return nil
}

func shorten(s string) string {
	if len(s) > 20 {
		return strings.ToValidUTF8(s[:20], "") + "…"
	}
	return s
}
