package live

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// A frame begins with a header of 24 bytes, numbers big-endian:
//
//	 0  "DF"
//	 2  version, 1
//	 3  codec: 1 JPEG, 2 VP8, 3 VP9, 4 H.264 (Annex B)
//	 4  flags: 1 for a key frame, which can be shown without those before it
//	 5  0
//	 6  width, uint16
//	 8  height, uint16
//	10  0, 0
//	12  sequence number, uint32: what is missing was skipped
//	16  when it was captured, uint64: milliseconds since 1970 by the server's clock
const headerBytes = 24

const (
	maxFrame  = 512 << 10 // bytes of a frame behind its header
	maxFrames = 60        // a second
	minSide   = 16        // pixels
	maxSide   = 1920
	maxSkew   = 5 * time.Minute // of the time of capture; who cannot tell the time shows a wrong delay, and no more
)

const (
	codecJPEG = 1
	codecVP8  = 2
	codecVP9  = 3
	codecH264 = 4

	flagKey = 1
)

// frame is what the header of a frame says.
type frame struct {
	codec         byte
	key           bool
	width, height int
	sequence      uint32
	captured      time.Time
	payload       []byte // of the frame it was parsed from
}

// parseFrame reads a frame, and refuses what cannot be one.
func parseFrame(data []byte) (frame, error) {
	if len(data) < headerBytes || data[0] != 'D' || data[1] != 'F' || data[2] != 1 {
		return frame{}, badFrame("a frame begins with a header of %d bytes: \"DF\", version 1", headerBytes)
	}
	f := frame{
		codec: data[3], key: data[4] == flagKey,
		width: int(binary.BigEndian.Uint16(data[6:])), height: int(binary.BigEndian.Uint16(data[8:])),
		sequence: binary.BigEndian.Uint32(data[12:]), captured: time.UnixMilli(int64(binary.BigEndian.Uint64(data[16:]))),
		payload: data[headerBytes:],
	}
	switch {
	case f.codec < codecJPEG || f.codec > codecH264:
		return frame{}, badFrame("there is no codec %d", f.codec)
	case data[4]&^flagKey != 0 || data[5] != 0 || data[10] != 0 || data[11] != 0:
		return frame{}, badFrame("flags other than 1 and reserved bytes are 0")
	case min(f.width, f.height) < minSide || max(f.width, f.height) > maxSide:
		return frame{}, badFrame("a frame has %d to %d pixels each way, not %d × %d", minSide, maxSide, f.width, f.height)
	case len(f.payload) == 0 || len(f.payload) > maxFrame:
		return frame{}, badFrame("a frame has 1 to %d bytes, not %d", maxFrame, len(f.payload))
	}
	return f, f.checkPayload()
}

// checkPayload looks at the beginning, which tells one codec from another.
func (f *frame) checkPayload() error {
	p := f.payload
	switch f.codec {
	case codecJPEG:
		if !bytes.HasPrefix(p, []byte{0xff, 0xd8, 0xff}) || !f.key {
			return badFrame("a JPEG begins with FF D8 FF, and is a key frame")
		}
	case codecVP8: // RFC 6386, section 9.1: the first bit is 0 for a key frame, and then there is a start code
		if key := p[0]&1 == 0; key != f.key || key && (len(p) < 10 || !bytes.Equal(p[3:6], []byte{0x9d, 0x01, 0x2a})) {
			return badFrame("this is no VP8 frame, or it is a key frame and does not say so")
		}
	case codecVP9: // the frame marker is the bits 10
		if p[0]>>6 != 2 {
			return badFrame("a VP9 frame begins with the bits 10")
		}
	case codecH264:
		if !bytes.HasPrefix(p, []byte{0, 0, 1}) && !bytes.HasPrefix(p, []byte{0, 0, 0, 1}) {
			return badFrame("an H.264 frame begins with a start code (Annex B)")
		}
	}
	return nil
}

func badFrame(format string, args ...any) error { return hub.Errorf(codeBadFrame, format, args...) }

// admitFrame decides about what is published as a frame, and says what it may be dropped for where a viewer is slow: a JPEG for any newer
// one; others only when too many wait.
func admitFrame(p *hub.Publication, now time.Time) error {
	if !p.Binary {
		return badFrame("frames are bytes, not JSON")
	}
	f, err := parseFrame(p.Data)
	if err != nil {
		return err
	}
	if f.captured.Sub(now).Abs() > maxSkew {
		return badFrame("the time of capture is not within %s of the server's clock: ask %sclock", maxSkew, prefix)
	}
	p.Key = "picture"
	if f.codec != codecJPEG {
		p.Key = strconv.FormatUint(uint64(f.sequence), 10)
	}
	return nil
}
