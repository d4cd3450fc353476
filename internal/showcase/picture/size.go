package picture

import (
	"encoding/binary"
	"iter"
)

// size reads width and height from the header of a picture of that type; zeros if it does not say.
func size(mime string, b []byte) (width, height int) {
	switch mime {
	case "image/png":
		return sizePNG(b)
	case "image/jpeg":
		return sizeJPEG(b)
	case "image/gif":
		return sizeGIF(b)
	case "image/webp":
		return sizeWebP(b)
	default:
		return sizeAVIF(b)
	}
}

// sizePNG: the signature is followed by the chunk IHDR, which begins with both as 32-bit numbers.
func sizePNG(b []byte) (width, height int) {
	if len(b) < 24 || string(b[12:16]) != "IHDR" {
		return 0, 0
	}
	return whole(b[16:]), whole(b[20:])
}

// sizeGIF: the logical screen stands behind the signature, little-endian.
func sizeGIF(b []byte) (width, height int) {
	if len(b) < 10 {
		return 0, 0
	}
	return int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
}

// sizeJPEG walks the segments to the first start of frame: length, precision, height, width.
func sizeJPEG(b []byte) (width, height int) {
	for i := 2; i+4 <= len(b); {
		if b[i] != 0xff {
			return 0, 0
		}
		marker := b[i+1]
		switch {
		case marker == 0xff: // a fill byte
			i++
			continue
		case marker == 0x01 || marker >= 0xd0 && marker <= 0xd7: // no length behind it
			i += 2
			continue
		case marker == 0xd9 || marker == 0xda: // the end, or pixels, before any frame
			return 0, 0
		}
		length := int(binary.BigEndian.Uint16(b[i+2:]))
		frame := marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc
		if frame && i+9 <= len(b) {
			return int(binary.BigEndian.Uint16(b[i+7:])), int(binary.BigEndian.Uint16(b[i+5:]))
		}
		i += 2 + max(length, 2)
	}
	return 0, 0
}

// sizeWebP knows the three forms of the first chunk: lossy, lossless and extended.
func sizeWebP(b []byte) (width, height int) {
	if len(b) < 30 {
		return 0, 0
	}
	switch p := b[20:]; string(b[12:16]) {
	case "VP8 ": // frame tag, start code 9d 01 2a, then 14 bits each, below 2 of scale
		if string(p[3:6]) != "\x9d\x01\x2a" {
			return 0, 0
		}
		return int(binary.LittleEndian.Uint16(p[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(p[8:]) & 0x3fff)
	case "VP8L": // a signature, then 14 bits of each less one
		if p[0] != 0x2f {
			return 0, 0
		}
		bits := binary.LittleEndian.Uint32(p[1:])
		return int(bits&0x3fff) + 1, int(bits>>14&0x3fff) + 1
	case "VP8X": // flags, then 24 bits of each less one
		return three(p[4:]) + 1, three(p[7:]) + 1
	}
	return 0, 0
}

// sizeAVIF takes the largest of the sizes that the properties of the file's items have: box meta, in it iprp, in it ipco, in it ispe. The
// file is that of a picture that may consist of tiles, whose sizes are among these, and of its transparency.
func sizeAVIF(b []byte) (width, height int) {
	for meta := range boxes(b, "meta") {
		if len(meta) < 4 {
			continue
		}
		for iprp := range boxes(meta[4:], "iprp") { // behind its version and flags
			for ipco := range boxes(iprp, "ipco") {
				for ispe := range boxes(ipco, "ispe") {
					if len(ispe) >= 12 {
						width, height = max(width, whole(ispe[4:])), max(height, whole(ispe[8:]))
					}
				}
			}
		}
	}
	return width, height
}

// boxes yields what is in the boxes of a kind: size, including these eight bytes, and kind, then the content.
func boxes(b []byte, kind string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b) >= 8 {
			n := whole(b)
			if n == 0 { // to the end
				n = len(b)
			}
			if n < 8 || n > len(b) {
				return
			}
			if string(b[4:8]) == kind && !yield(b[8:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// whole reads 32 bits, big-endian. What does not fit into 31 is larger than anything that is allowed, and stays so.
func whole(b []byte) int { return int(min(binary.BigEndian.Uint32(b), 1<<31-1)) }

// three reads 24 bits, little-endian.
func three(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
