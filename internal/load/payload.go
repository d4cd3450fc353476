package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// deflateHistory is the most that our compressor looks back at its level; see
// deflate.Compressor.
const (
	deflateLevel   = 6
	deflateHistory = 8 << 10
)

// payloads makes the messages of a run. They are the same in every run.
func payloads(c *Config) [][]byte {
	compressed := c.Compression != 0
	count := 64
	switch {
	case c.Size > 32<<10:
		count = 4
	case compressed && c.Size > 0 && count*c.Size <= deflateHistory:
		count = deflateHistory/c.Size + 1 // newStream needs more than that
	}
	r := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, 0, count)
	for i := range count {
		switch {
		case c.Same && i > 0:
			out = append(out, out[0])
		case c.Text || compressed:
			out = append(out, jsonText(r, i, c.Size))
		default:
			p := make([]byte, c.Size)
			for j := range p {
				p[j] = byte(r.Uint32())
			}
			out = append(out, p)
		}
	}
	return out
}

var symbols = []string{"AAPL", "MSFT", "GOOG", "AMZN", "TSLA", "NVDA", "贵州茅台", "腾讯控股"}

// jsonText is an array of quotes, as a quote service sends them, filled up to
// exactly size bytes with spaces at its end.
func jsonText(r *rand.Rand, n, size int) []byte {
	p := fmt.Appendf(nil, `{"type":"quotes","seq":%d,"items":[`, n)
	for i := 0; ; i++ {
		item := fmt.Appendf(nil, `{"symbol":"%s","price":%d.%02d,"volume":%d,"side":"%s"}`, symbols[r.IntN(len(symbols))],
			100+r.IntN(900), r.IntN(100), r.IntN(10000)*10, [2]string{"buy", "sell"}[r.IntN(2)])
		if len(p)+len(item)+3 > size {
			break
		}
		if i > 0 {
			p = append(p, ',')
		}
		p = append(p, item...)
	}
	p = append(p, "]}"...)
	if len(p) > size { // shorter than the shortest document: letters, different ones where there is room
		return bytes.Repeat([]byte{byte('a' + n%26)}, size)
	}
	return append(p, bytes.Repeat([]byte(" "), size-len(p))...)
}
