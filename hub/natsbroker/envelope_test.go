package natsbroker

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
)

// written is what version 1 is. It does not change: whoever has such data wants to read it.
var written = []struct {
	hex     string
	message *hub.Message
	run     run
}{
	{"0100", &hub.Message{Data: []byte{}}, run{}},
	{"0100" + "7b7d", &hub.Message{Data: []byte("{}")}, run{}},
	{"0180" + "00ff", &hub.Message{Data: []byte{0, 255}, Binary: true}, run{}},
	{
		"013f" + "03616e6e" + "027b7d" + "0131" + "016b" + "027b7d" + "0173" + "78",
		&hub.Message{
			From: hub.Publisher{User: "ann", Info: []byte("{}")}, ID: "1", Key: "k", Meta: []byte("{}"), Except: "s", Data: []byte("x"),
		}, run{},
	},
	{"0141" + "03626f62" + "0272" + "31" + "ac02" + "07" + "31", &hub.Message{From: hub.Publisher{User: "bob"}, Data: []byte("1")}, run{"r1", 300, 7}},
}

func TestWritten(t *testing.T) {
	for _, w := range written {
		p, err := hex.DecodeString(w.hex)
		if err != nil {
			t.Fatal(err)
		}
		m, r, err := decode(p)
		if err != nil || !reflect.DeepEqual(m, w.message) || r != w.run {
			t.Errorf("%s is read as %+v, %v, %v", w.hex, m, r, err)
		}
		if got := hex.EncodeToString(encode(w.message, w.run)); got != w.hex {
			t.Errorf("%s is written as %s", w.hex, got)
		}
	}
}

func TestUnreadable(t *testing.T) {
	for text, want := range map[string]string{
		"": "shorter", "01": "shorter", "0101": "shorter", "010105": "shorter", "0141" + "0161" + "0172": "shorter",
		"0101ffffffffffffffffff7f": "shorter", "0200": "version 2",
	} {
		p, _ := hex.DecodeString(text)
		if m, _, err := decode(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is read as %+v, %v", text, m, err)
		}
	}
}

// Whatever is read is written the same again, and nothing makes reading panic.
func FuzzDecode(f *testing.F) {
	for _, w := range written {
		p, _ := hex.DecodeString(w.hex)
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m, r, err := decode(p)
		if err != nil {
			return
		}
		again, r2, err := decode(encode(m, r))
		if err != nil || r2.id != r.id || r.id != "" && r2 != r || !bytes.Equal(again.Data, m.Data) || again.Key != m.Key || again.From.User != m.From.User {
			t.Errorf("%x is %+v, %v, and then %+v, %v, %v", p, m, r, again, r2, err)
		}
	})
}
