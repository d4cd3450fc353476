package live

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/showcasetest"
)

const studio = "studio"

func open(t *testing.T, broker hub.Broker, everybody bool) *showcasetest.Place {
	t.Helper()
	return showcasetest.Open(t, broker, everybody, New)
}

// broadcast makes somebody the broadcaster of a channel.
func broadcast(t *testing.T, p *showcasetest.Place, user, name string) *showcasetest.Someone {
	t.Helper()
	who := p.Enter(user, user)
	if err := who.Ask(prefix+"start", startQuestion{name, "vp8", 48}, nil); err != nil {
		t.Fatal(err)
	}
	if err := who.Listen(topic(kindControl, name), 0); err != nil {
		t.Fatal(err)
	}
	return who
}

// picture is a frame that the server takes.
func picture(codec byte, key bool, sequence uint32) []byte {
	data := make([]byte, headerBytes, headerBytes+16)
	copy(data, "DF\x01")
	data[3] = codec
	if key {
		data[4] = flagKey
	}
	binary.BigEndian.PutUint16(data[6:], 640)
	binary.BigEndian.PutUint16(data[8:], 360)
	binary.BigEndian.PutUint32(data[12:], sequence)
	binary.BigEndian.PutUint64(data[16:], uint64(time.Now().UnixMilli()))
	switch {
	case codec == codecJPEG:
		return append(data, 0xff, 0xd8, 0xff, 0xe0)
	case codec == codecVP8 && key:
		return append(data, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01)
	case codec == codecVP8:
		return append(data, 0x11, 0, 0)
	case codec == codecVP9:
		return append(data, 0x82, 0x49)
	default:
		return append(data, 0, 0, 0, 1, 0x67)
	}
}

func show(t *testing.T, who *showcasetest.Someone, name string, data []byte) error {
	t.Helper()
	_, err := who.Publish(t.Context(), topic(kindVideo, name), hub.Publication{Data: data, Binary: true, Meta: []byte(`{"a":1}`)})
	return err
}

func comments(text string) comment { return comment{Text: text, Color: "white", Mode: "scroll"} }

// viewer takes what it has room for, and waits for the rest.
type viewer struct {
	*hub.Subscriber
	room int // messages that it still takes; negative: any number
	seen []*hub.Message
}

func watch(t *testing.T, p *showcasetest.Place, user string, room, last int) *viewer {
	t.Helper()
	v := &viewer{room: room}
	sub, err := p.Hub.Connect(hub.Connecting{Session: user, Identity: hub.Identity{User: user, Anonymous: true}, Sink: v})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	began, err := sub.Subscribe(t.Context(), topic(kindVideo, studio), hub.SubscribeOptions{Last: last})
	if err != nil {
		t.Fatal(err)
	}
	v.Subscriber = sub
	began.Begin()
	return v
}

// Deliver implements hub.Sink. The hub calls it while it publishes, which these tests do in one goroutine.
func (v *viewer) Deliver(m *hub.Message) bool {
	if v.room == 0 {
		return false
	}
	v.room--
	v.seen = append(v.seen, m)
	return true
}

// End implements hub.Sink.
func (v *viewer) End(hub.End) {}

// sequences are those of the frames that have come; lost is what gaps say besides.
func (v *viewer) sequences() (seen []uint32, lost uint64) {
	for _, m := range v.seen {
		switch m.Kind {
		case hub.KindData:
			seen = append(seen, binary.BigEndian.Uint32(m.Data[12:]))
		case hub.KindGap:
			lost += m.Gap.Count
		}
	}
	return seen, lost
}
