package deflate

import (
	"fmt"
	"math/rand"
	"testing"
)

// BenchmarkMessage compresses and inflates JSON of 1 KB. With takeover the windows
// are full. "ratio" is the compressed part of the message.
func BenchmarkMessage(b *testing.B) {
	for _, size := range []int{100, 1024, 64 << 10} {
		for _, takeover := range []bool{false, true} {
			for _, half := range []string{"compress", "inflate", "both"} {
				b.Run(fmt.Sprintf("%dB/takeover=%v/%s", size, takeover, half), func(b *testing.B) {
					benchmark(b, &Options{}, size, 15, takeover, half)
				})
			}
		}
	}
}

// BenchmarkEcho compresses and inflates one and the same message again and again,
// as the benchmarks against other libraries do. Branch predictors learn it by heart,
// so it is faster than BenchmarkMessage.
func BenchmarkEcho(b *testing.B) {
	for _, takeover := range []bool{false, true} {
		b.Run(fmt.Sprintf("takeover=%v", takeover), func(b *testing.B) {
			msg := json(rand.New(rand.NewSource(1)), 1024)
			c, d := NewCompressor(nil, 15, takeover), NewDecompressor(nil, 15, takeover)
			defer c.Close()
			defer d.Close()
			var wire, out []byte
			b.ReportAllocs()
			for range b.N {
				wire = c.AppendMessage(wire[:0], msg)
				var err error
				if out, err = d.AppendMessage(out[:0], wire, len(msg)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(wire)), "bytes")
		})
	}
}

func BenchmarkLevel(b *testing.B) {
	for _, level := range []int{1, 3, 6, 9} {
		for _, takeover := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/takeover=%v", level, takeover), func(b *testing.B) {
				benchmark(b, &Options{Level: level}, 1024, 15, takeover, "compress")
			})
		}
	}
}

func BenchmarkWindow(b *testing.B) {
	for bits := 8; bits <= 15; bits++ {
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			benchmark(b, &Options{}, 1024, bits, true, "compress")
		})
	}
}

func benchmark(b *testing.B, o *Options, size, bits int, takeover bool, half string) {
	r := rand.New(rand.NewSource(1))
	c, d := NewCompressor(o, bits, takeover), NewDecompressor(o, bits, takeover)
	defer c.Close()
	defer d.Close()
	// As many messages as fill the window: they can be sent round and round, and
	// inflated in that order from any full round on.
	msgs := make([][]byte, max(1, 40<<10/size))
	wires := make([][]byte, len(msgs))
	var out []byte
	for i := range msgs {
		msgs[i] = json(r, size)
	}
	for range 2 {
		for i, msg := range msgs {
			wires[i] = c.AppendMessage(nil, msg)
			out, _ = d.AppendMessage(out[:0], wires[i], size)
		}
	}
	wire := make([]byte, 0, 2*size)
	total := 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k := i % len(msgs)
		if half == "inflate" {
			wire = wires[k]
		} else {
			wire = c.AppendMessage(wire[:0], msgs[k])
		}
		total += len(wire)
		if half == "compress" {
			continue
		}
		var err error
		if out, err = d.AppendMessage(out[:0], wire, size); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(total)/float64(b.N)/float64(size), "ratio")
}
