package deflate

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"math/rand"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
)

// raceDetector tells whether this is a race build, where sync.Pool drops items at
// random and allocations say nothing.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// bomb returns megabytes of zeros compressed as far as DEFLATE goes, about 1000:1.
// One megabyte that ends with a flush can stand behind itself any number of times.
func bomb(t testing.TB, megabytes int) []byte {
	t.Helper()
	var wire bytes.Buffer
	w, err := stdflate.NewWriter(&wire, 9)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, 1<<20))
	w.Flush()
	return bytes.TrimSuffix(bytes.Repeat(wire.Bytes(), megabytes), []byte(syncTail))
}

// TestBombStopsAtLimit: memory follows the limit, not the message.
func TestBombStopsAtLimit(t *testing.T) {
	payload := bomb(t, 100)
	if len(payload)*900 > 100<<20 {
		t.Fatalf("100 MB in %d bytes is not much of a bomb", len(payload))
	}
	for _, takeover := range []bool{false, true} {
		for _, limit := range []int{-1, 0, 1, 1000, 32 << 10, testLimit} {
			d := NewDecompressor(nil, 15, takeover)
			var out []byte
			var err error
			used := allocated(func() { out, err = d.AppendMessage(nil, payload, limit) })
			if !errors.Is(err, ErrTooLarge) || len(out) != 0 {
				t.Errorf("limit %d: %d bytes, %v", limit, len(out), err)
			}
			if cap(out) > max(limit, 0)+limit/4+1024 {
				t.Errorf("limit %d: capacity %d", limit, cap(out))
			}
			// Doubling takes twice the limit in all; 256 KB are for a new decoder.
			if used > uint64(3*max(limit, 0)+256<<10) {
				t.Errorf("limit %d: %d bytes allocated", limit, used)
			}
			d.Close()
		}
	}
}

// TestLimitIsExact: a message of just the limit passes, one more byte does not, and
// every message has the limit to itself.
func TestLimitIsExact(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	c, d := NewCompressor(nil, 15, true), NewDecompressor(nil, 15, true)
	defer c.Close()
	defer d.Close()
	prefix := []byte("what came before does not count")
	for _, size := range []int{0, 1, 1000, 32 << 10, 32<<10 + 1, 100_000} {
		msg := json(r, size+2)[:size]
		out, err := d.AppendMessage(prefix, c.AppendMessage(nil, msg), size)
		if err != nil || !bytes.Equal(out[len(prefix):], msg) {
			t.Fatalf("size %d: %v", size, err)
		}
		if size == 0 {
			continue
		}
		fresh := NewDecompressor(nil, 15, false)
		whole := NewCompressor(nil, 15, false).AppendMessage(nil, msg)
		if out, err := fresh.AppendMessage(prefix, whole, size-1); !errors.Is(err, ErrTooLarge) || len(out) != len(prefix) {
			t.Errorf("size %d: one byte too much: %v", size, err)
		}
	}
}

// TestNothingIsAllocatedAhead: a small message takes a small buffer, however large
// the limit.
func TestNothingIsAllocatedAhead(t *testing.T) {
	payload := NewCompressor(nil, 15, false).AppendMessage(nil, []byte("a few bytes, a few bytes"))
	d := NewDecompressor(nil, 15, false)
	out, err := d.AppendMessage(nil, payload, int(^uint(0)>>1))
	if err != nil || cap(out) > 64 {
		t.Errorf("%d bytes have capacity %d, %v", len(out), cap(out), err)
	}
}

func TestNoAllocationsPerMessage(t *testing.T) {
	if raceDetector() {
		t.Log("allocations are not counted in a race build")
		return
	}
	msg := json(rand.New(rand.NewSource(1)), 1024)
	for _, takeover := range []bool{false, true} {
		for _, level := range []int{1, 6} {
			o := &Options{Level: level}
			c, d := NewCompressor(o, 15, takeover), NewDecompressor(o, 15, takeover)
			wire, out := make([]byte, 0, 4096), make([]byte, 0, 4096)
			for range 100 { // fill the windows and the pools
				wire = c.AppendMessage(wire[:0], msg)
				out, _ = d.AppendMessage(out[:0], wire, testLimit)
			}
			n := testing.AllocsPerRun(200, func() {
				wire = c.AppendMessage(wire[:0], msg)
				var err error
				if out, err = d.AppendMessage(out[:0], wire, testLimit); err != nil {
					t.Fatal(err)
				}
			})
			if n != 0 {
				t.Errorf("takeover %v level %d: %v allocations a message", takeover, level, n)
			}
			c.Close()
			d.Close()
		}
	}
}

// TestIdleMemory measures what a connection holds after one message of 1 KB.
func TestIdleMemory(t *testing.T) {
	msg := json(rand.New(rand.NewSource(1)), 1024)
	for _, tc := range []struct {
		takeover bool
		most     uint64
	}{{false, 400}, {true, 3000}} {
		const connections = 1000
		type pair struct {
			c *Compressor
			d *Decompressor
		}
		pairs := make([]pair, connections)
		var wire, out []byte
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.GC() // the second one empties the pools
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for i := range pairs {
			p := pair{NewCompressor(nil, 15, tc.takeover), NewDecompressor(nil, 15, tc.takeover)}
			wire = p.c.AppendMessage(wire[:0], msg)
			out, _ = p.d.AppendMessage(out[:0], wire, testLimit)
			pairs[i] = p
		}
		each := (max(heap(), before) - before) / connections
		t.Logf("takeover %v: %d bytes a connection", tc.takeover, each)
		if each > tc.most {
			t.Errorf("takeover %v: %d bytes a connection, want at most %d", tc.takeover, each, tc.most)
		}
		for _, p := range pairs {
			p.c.Close()
			p.d.Close()
		}
	}
}

// TestHistoryIsBounded: what a window holds never exceeds what was reserved for it.
func TestHistoryIsBounded(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, size := range []int{256, 512, 4096, 32 << 10} {
		h, all := history{size: size}, []byte(nil)
		for range 2000 {
			p := noise(r, r.Intn(1+r.Intn(size+size/2)))
			h.add(p)
			all = append(all, p...)
			all = all[max(0, len(all)-2*size):]
			if cap(h.buf) > historyLimit(size) {
				t.Fatalf("capacity %d for a window of %d", cap(h.buf), size)
			}
			n := r.Intn(2 * size)
			if want := all[max(0, len(all)-min(n, size)):]; !bytes.Equal(h.last(n), want) {
				t.Fatalf("the last %d of %d bytes are wrong", n, size)
			}
		}
	}
}

// TestBudgetReturnsToZero opens, uses and closes connections at random: compressors
// never overdraw the budget, and in the end nothing is left in use.
func TestBudgetReturnsToZero(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	b := NewBudget(200 << 10)
	o := &Options{Budget: b}
	type conn struct {
		c *Compressor
		d *Decompressor
	}
	var open []conn
	refused := 0
	for i := range 5000 {
		if r.Intn(2) == 0 || len(open) == 0 {
			p, ok := o.Accept(header(t, "permessage-deflate; client_max_window_bits="+[]string{"8", "11", "15"}[r.Intn(3)]))
			if !ok {
				t.Fatal("declined")
			}
			if p.ClientNoContextTakeover {
				refused++
			}
			open = append(open, conn{NewCompressor(o, p.ServerMaxWindowBits, !p.ServerNoContextTakeover),
				NewDecompressor(o, p.ClientMaxWindowBits, !p.ClientNoContextTakeover)})
		} else {
			k := r.Intn(len(open))
			open[k].c.Close()
			open[k].d.Close()
			if r.Intn(4) == 0 { // closing again changes nothing
				open[k].c.Close()
				open[k].d.Close()
			}
			open = slices.Delete(open, k, k+1)
		}
		if used := b.Used(); used > 200<<10 || used < 0 {
			t.Fatalf("step %d: %d bytes used", i, used)
		}
	}
	if refused == 0 {
		t.Error("the budget was never exhausted, the test proves nothing")
	}
	for _, x := range open {
		x.c.Close()
		x.d.Close()
	}
	if used := b.Used(); used != 0 {
		t.Errorf("%d bytes still used", used)
	}
}

// TestBudgetExhausted: without room a compressor starts afresh with each message,
// and a decompressor keeps the window that its peer was granted.
func TestBudgetExhausted(t *testing.T) {
	o := &Options{Budget: NewBudget(1)}
	c, d := NewCompressor(o, 15, true), NewDecompressor(o, 15, true)
	msg := json(rand.New(rand.NewSource(1)), 500)
	first := c.AppendMessage(nil, msg)
	if second := c.AppendMessage(nil, msg); !bytes.Equal(first, second) {
		t.Error("the second message refers to the first")
	}
	if used := o.Budget.Used(); used != int64(historyLimit(32<<10)) {
		t.Errorf("%d bytes used", used)
	}
	for _, payload := range []string{"f2 48 cd c9 c9 07 00", "f2 00 11 00 00"} {
		if out, err := d.AppendMessage(nil, unhex(t, payload), testLimit); err != nil || string(out) != "Hello" {
			t.Errorf("got %q, %v", out, err)
		}
	}
	c.Close()
	d.Close()
	if used := o.Budget.Used(); used != 0 {
		t.Errorf("%d bytes still used", used)
	}
}

func TestUseAfterClose(t *testing.T) {
	c, d := NewCompressor(nil, 15, true), NewDecompressor(nil, 15, true)
	c.Close()
	d.Close()
	for range 2 {
		out, err := d.AppendMessage(nil, c.AppendMessage(nil, []byte("Hello, Hello")), testLimit)
		if err != nil || string(out) != "Hello, Hello" {
			t.Errorf("got %q, %v", out, err)
		}
	}
}

// TestConcurrentConnections shares Options, Budget and pools between goroutines.
func TestConcurrentConnections(t *testing.T) {
	o := &Options{Budget: NewBudget(100 << 10)}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewSource(int64(g)))
			for range 20 {
				bits := 8 + r.Intn(8)
				c, d := NewCompressor(o, bits, true), NewDecompressor(o, bits, true)
				for range 10 {
					msg := json(r, 2+r.Intn(2000))
					got, err := d.AppendMessage(nil, c.AppendMessage(nil, msg), testLimit)
					if err != nil || !bytes.Equal(got, msg) {
						t.Errorf("%d bytes of %d, %v", len(got), len(msg), err)
					}
				}
				c.Close()
				d.Close()
			}
		})
	}
	wg.Wait()
	if used := o.Budget.Used(); used != 0 {
		t.Errorf("%d bytes still used", used)
	}
}
