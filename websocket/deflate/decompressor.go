package deflate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// finalTail is an empty final block. Put behind syncTail it ends the stream,
	// so that the decoder says "end" where it would otherwise ask for more.
	finalTail = "\x01\x00\x00\xff\xff"

	// maxFinalBlocks is how many blocks of one message may have BFINAL set. Each
	// restarts the decoder, which costs far more than the two bytes that a hostile
	// peer needs for it.
	maxFinalBlocks = 256

	// zlibMinWindow is the smallest window remembered for a peer. zlib cannot
	// compress with a raw window of 8 bits and silently uses 9, so peers built
	// on it overstep a window of 256 bytes.
	zlibMinWindow = 512

	decoderWindow = 1 << maxWindowBits
)

// Decompressor is the receiving half of one connection, RFC 7692 section 7.2.2.
// It is used by one goroutine at a time. While idle it holds the peer's window
// when the peer takes over its context, and nothing otherwise.
type Decompressor struct {
	takeover bool
	history  history

	budget   *Budget
	reserved int64
}

// NewDecompressor returns the receiving half of a connection for which the
// window of the sender, the peer, was agreed to be windowBits (8 to 15;
// anything else is 15) and takeover tells whether the peer may take over its
// context. It reads Budget from o, which may be nil. Call Close when the
// connection ends.
func NewDecompressor(o *Options, windowBits int, takeover bool) *Decompressor {
	d := &Decompressor{takeover: takeover, budget: o.budget()}
	if takeover {
		d.history.size = receiveHistory(windowBits)
		d.reserved = int64(historyLimit(d.history.size))
		d.budget.force(d.reserved)
	}
	return d
}

// receiveHistory is how many bytes a Decompressor remembers.
func receiveHistory(bits int) int { return max(1<<clampBits(bits), zlibMinWindow) }

// AppendMessage appends to dst the message whose compressed payload is src, all
// of it, without the tail that its sender removed. The message may have at most
// limit bytes (a negative limit is 0): inflating stops there, whatever src would
// go on to, with ErrTooLarge. Memory is taken as bytes come out of the
// decoder, by doubling dst, and never beyond the limit.
//
// An error leaves what AppendMessage returns at the length of dst; one that
// wraps ErrCorrupt or ErrTooLarge is final, because with context takeover the
// next message could refer to the bytes that were lost.
//
// How the peer ended the message is its own business: with a flush, as RFC 7692
// section 7.2.1 has it; with a final block (7.2.3.4), with or without more
// behind it; or at the end of any block on a byte boundary. A distance that
// reaches back before the window at the start of the message is ErrCorrupt. One
// that exceeds the agreed window within the message is not noticed; it does no
// harm, as the decoder has 32 KiB in any case.
func (d *Decompressor) AppendMessage(dst, src []byte, limit int) ([]byte, error) {
	f := inflaters.Get().(*inflater)
	dict := d.history.last(d.history.size)
	start := len(dst)
	f.out = sink{buf: dst, start: start, limit: max(limit, 0)}
	err := f.inflate(dict, src, syncTail+finalTail)
	if errors.Is(err, ErrCorrupt) && f.left() < len(syncTail)+len(finalTail) {
		// All of src was good. If it ended at the end of a block, without a
		// flush or altogether empty, then no tail was missing.
		f.out.buf = f.out.buf[:start]
		err = f.inflate(dict, src, finalTail)
	}
	dst = f.out.buf
	f.release()
	if err != nil {
		return dst[:start], err
	}
	if d.takeover {
		d.history.add(dst[start:])
	}
	return dst, nil
}

// Close gives the memory and the budget back. It may be called again. What is
// decompressed afterwards has no context.
func (d *Decompressor) Close() {
	d.history = history{}
	d.budget.release(d.reserved)
	d.takeover, d.reserved = false, 0
}

// inflater is a decoder with its input and output. It holds about 45 KB, so it
// lives in a pool and serves one message at a time.
type inflater struct {
	in      input
	buf     *bufio.Reader // the decoder is fastest with this or a bytes.Reader
	decoder decoder
	out     sink
}

// decoder is what flate.NewReader returns.
type decoder interface {
	flate.Resetter
	io.WriterTo
}

var inflaters = sync.Pool{New: func() any {
	f := new(inflater)
	f.buf = bufio.NewReader(&f.in)
	f.decoder = flate.NewReader(f.buf).(decoder)
	return f
}}

// inflate decodes src and then tail into f.out, with history as the window.
// The decoder ends at the first final block: at the one in tail or, with something
// left to read, at one of the peer's.
func (f *inflater) inflate(history, src []byte, tail string) error {
	f.in = input{src: src, tail: tail}
	f.buf.Reset(&f.in)
	dict := history
	for finals := 0; ; finals++ {
		if err := f.decoder.Reset(f.buf, dict); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		_, err := f.decoder.WriteTo(&f.out)
		switch {
		case err == ErrTooLarge:
			return err
		case err != nil:
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		case f.left() <= len(tail):
			return nil
		case finals == maxFinalBlocks:
			return fmt.Errorf("%w: more than %d final blocks", ErrCorrupt, maxFinalBlocks)
		}
		dict = f.out.window(history)
	}
}

// left is the number of bytes of src and tail that the decoder has not taken.
func (f *inflater) left() int { return f.buf.Buffered() + len(f.in.src) + len(f.in.tail) }

// release puts f back into its pool without the caller's slices.
func (f *inflater) release() {
	f.in, f.out = input{}, sink{}
	inflaters.Put(f)
}

// input reads src and then tail.
type input struct {
	src  []byte
	tail string
}

func (in *input) Read(p []byte) (int, error) {
	n := copy(p, in.src)
	in.src = in.src[n:]
	m := copy(p[n:], in.tail)
	in.tail = in.tail[m:]
	if n+m == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n + m, nil
}

// sink collects the message behind start, and refuses more than limit bytes.
type sink struct {
	buf   []byte
	start int
	limit int
}

func (s *sink) Write(p []byte) (int, error) {
	have := len(s.buf) - s.start
	if len(p) > s.limit-have {
		return 0, ErrTooLarge
	}
	if need := len(s.buf) + len(p); need > cap(s.buf) {
		// Doubling, but not beyond the limit. limit-have cannot overflow as
		// start+limit could.
		most := s.limit - have
		grown := make([]byte, len(s.buf), len(s.buf)+min(most, max(len(p), len(s.buf))))
		copy(grown, s.buf)
		s.buf = grown
	}
	s.buf = append(s.buf, p...)
	return len(p), nil
}

// window returns what the next block may refer to: the last bytes of history and
// of the message so far.
func (s *sink) window(history []byte) []byte {
	out := s.buf[s.start:]
	if len(out) >= decoderWindow {
		return out[len(out)-decoderWindow:]
	}
	history = history[max(0, len(history)+len(out)-decoderWindow):]
	return append(history[:len(history):len(history)], out...)
}
