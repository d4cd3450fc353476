package chat

import (
	"encoding/json"

	"github.com/duplex-websocket/duplex/hub"
)

// signal checks what somebody in a room says about itself: that it types, or up to where it has read. The key is its user, so that who is
// slow is spared what is no longer so, and nobody speaks for others.
func (c *chat) signal(call *hub.PublishCall, at place) error {
	if err := c.mustBeIn(call.Session, at); err != nil {
		return err
	}
	p := call.Publication
	var s struct {
		Typing *bool     `json:"typing,omitempty"`
		Read   *position `json:"read,omitempty"`
	}
	if p.Binary || json.Unmarshal(p.Data, &s) != nil || (s.Typing != nil) != (at.part == live) || (s.Read != nil) != (at.part == read) {
		if at.part == live {
			return hub.Errorf(codeBadSignal, `here one says {"typing":true} or {"typing":false}`)
		}
		return hub.Errorf(codeBadSignal, `here one says {"read":{"epoch":"...","offset":n}}: the last message that one has read`)
	}
	if s.Read != nil {
		if _, err := c.find(call.Context, at.topic(), *s.Read); err != nil {
			return err
		}
	}
	p.Key, p.Meta, p.Data = call.Identity.User, nil, mustJSON(s)
	return nil
}
