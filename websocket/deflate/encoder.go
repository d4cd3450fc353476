package deflate

import (
	"sync"

	"github.com/klauspost/compress/flate"
)

// appender is the io.Writer that encoders write to: it appends and never fails.
type appender struct{ buf []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.buf = append(a.buf, p...)
	return len(p), nil
}

// encoder is a flate.Writer with its output. It holds about 1 MB, so it lives in
// a pool and serves one part of one message at a time.
type encoder struct {
	out appender
	w   *flate.Writer
}

// The pools. At any time they hold about as many encoders as calls run at once;
// the garbage collector empties them.
var (
	levelEncoders  [bestLevel + 1]sync.Pool     // by level
	windowEncoders [maxWindowBits + 1]sync.Pool // by window bits
	appenders      = sync.Pool{New: func() any { return new(appender) }}
)

// appendLevel compresses part at a level of 1 to 9, as if dict had been sent
// before it, and ends with a flush. It refers to any byte of dict and part, but
// no further back than 32 KiB.
func appendLevel(dst, dict, part []byte, level int) []byte {
	e, _ := levelEncoders[level].Get().(*encoder)
	if e == nil {
		e = new(encoder)
		e.w, _ = flate.NewWriter(&e.out, level) // fails for an unknown level only
	}
	dst = e.append(dst, dict, part)
	levelEncoders[level].Put(e)
	return dst
}

// appendWindow is like appendLevel but refers no further back than 1<<bits
// bytes. It has one level, comparable to 5.
func appendWindow(dst, dict, part []byte, bits int) []byte {
	e, _ := windowEncoders[bits].Get().(*encoder)
	if e == nil {
		e = new(encoder)
		e.w, _ = flate.NewWriterWindow(&e.out, 1<<bits) // fails for less than 32 bytes only
	}
	dst = e.append(dst, dict, part)
	windowEncoders[bits].Put(e)
	return dst
}

// append ends with Flush, never with Close: a final block would end the stream
// that the next message continues, and how it looks differs between versions.
// The errors can only come from the appender, which has none.
func (e *encoder) append(dst, dict, part []byte) []byte {
	e.out.buf = dst
	e.w.ResetDict(&e.out, dict)
	_, _ = e.w.Write(part)
	_ = e.w.Flush()
	dst, e.out.buf = e.out.buf, nil
	return dst
}

// appendSmall is for a part that is too small for the writers above: those of
// level 1 to 6 do not look for matches in less than smallPart bytes, not even
// in a dictionary, where small messages find all that they gain by takeover.
func appendSmall(dst, dict, part []byte) []byte {
	a := appenders.Get().(*appender)
	a.buf = dst
	_ = flate.StatelessDeflate(a, part, false, dict)
	dst, a.buf = a.buf, nil
	appenders.Put(a)
	return dst
}
