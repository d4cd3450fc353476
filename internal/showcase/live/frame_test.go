package live

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

func TestFrames(t *testing.T) {
	change := func(data []byte, at int, to ...byte) []byte {
		copy(data[at:], to)
		return data
	}
	big := func(n int) []byte { return append(picture(codecJPEG, true, 1), bytes.Repeat([]byte{1}, n-4)...) }
	for name, c := range map[string]struct {
		data []byte
		good bool
	}{
		"JPEG":                 {picture(codecJPEG, true, 1), true},
		"VP8, key":             {picture(codecVP8, true, 1), true},
		"VP8":                  {picture(codecVP8, false, 1), true},
		"VP9":                  {picture(codecVP9, false, 1), true},
		"H.264":                {picture(codecH264, true, 1), true},
		"largest":              {big(maxFrame), true},
		"too large":            {big(maxFrame + 1), false},
		"nothing":              {nil, false},
		"no payload":           {picture(codecJPEG, true, 1)[:headerBytes], false},
		"cut header":           {picture(codecJPEG, true, 1)[:20], false},
		"not a frame":          {change(picture(codecJPEG, true, 1), 0, 'X'), false},
		"another version":      {change(picture(codecJPEG, true, 1), 2, 2), false},
		"codec 0":              {change(picture(codecJPEG, true, 1), 3, 0), false},
		"codec 5":              {change(picture(codecJPEG, true, 1), 3, 5), false},
		"another flag":         {change(picture(codecJPEG, true, 1), 4, 3), false},
		"reserved":             {change(picture(codecJPEG, true, 1), 10, 1), false},
		"too wide":             {change(picture(codecJPEG, true, 1), 6, 0xff, 0xff), false},
		"flat":                 {change(picture(codecJPEG, true, 1), 8, 0, 1), false},
		"PNG as JPEG":          {change(picture(codecJPEG, true, 1), headerBytes, 0x89, 'P', 'N', 'G'), false},
		"script as JPEG":       {append(picture(codecJPEG, true, 1)[:headerBytes], "<script>"...), false},
		"JPEG that is no key":  {change(picture(codecJPEG, true, 1), 4, 0), false},
		"VP8 key as a delta":   {change(picture(codecVP8, true, 1), 4, 0), false},
		"VP8 delta as a key":   {change(picture(codecVP8, false, 1), 4, 1), false},
		"VP8 key, cut":         {picture(codecVP8, true, 1)[:headerBytes+6], false},
		"not VP9":              {change(picture(codecVP9, true, 1), headerBytes, 0), false},
		"H.264 without a code": {change(picture(codecH264, true, 1), headerBytes, 1, 1, 1), false},
		"captured long ago":    {change(picture(codecJPEG, true, 1), 16, 0, 0, 0, 0, 0, 0, 0, 0), false},
		"captured beyond time": {change(picture(codecJPEG, true, 1), 16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), false},
	} {
		p := &hub.Publication{Data: c.data, Binary: true}
		err := admitFrame(p, time.Now())
		if c.good != (err == nil) || err != nil && !errors.Is(err, &hub.Error{Code: codeBadFrame}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := admitFrame(&hub.Publication{Data: []byte(`"x"`)}, time.Now()); !errors.Is(err, &hub.Error{Code: codeBadFrame}) {
		t.Errorf("JSON: %v", err)
	}
}

// FuzzParseFrame: nothing that anybody sends does harm.
func FuzzParseFrame(f *testing.F) {
	for _, codec := range []byte{codecJPEG, codecVP8, codecVP9, codecH264} {
		f.Add(picture(codec, true, 7))
		f.Add(picture(codec, false, 7))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := parseFrame(data)
		if err == nil && (len(frame.payload) == 0 || len(frame.payload) > maxFrame || frame.width < minSide || frame.height > maxSide) {
			t.Errorf("%+v", frame)
		}
	})
}
