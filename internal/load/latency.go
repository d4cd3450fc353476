package load

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// histogram returns an empty one for nanoseconds: steps of 64 ns at the bottom,
// three significant digits, up to two hours (longer is counted as that).
func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(100, int64(longest), 3) }

const longest = 2 * time.Hour

// recorder collects latencies. What was recorded since the last cut is apart, so
// that each message is recorded once.
type recorder struct {
	lately, before *hdrhistogram.Histogram
}

func newRecorder() *recorder { return &recorder{histogram(), histogram()} }

// record adds n messages that took d nanoseconds.
func (r *recorder) record(d, n int64) {
	_ = r.lately.RecordValues(min(max(d, 0), int64(longest)), n) // all values are in range now
}

// cut ends an interval and returns its p50, p99 and maximum in microseconds.
func (r *recorder) cut() (p50, p99, most float64) {
	p50, p99, most = us(r.lately.ValueAtPercentile(50)), us(r.lately.ValueAtPercentile(99)), us(r.lately.Max())
	r.before.Merge(r.lately)
	r.lately.Reset()
	return p50, p99, most
}

// count is the number of values since the recorder was made.
func (r *recorder) count() int64 { return r.lately.TotalCount() + r.before.TotalCount() }

func us(ns int64) float64 { return float64(ns) / 1000 }

// summary is about everything since the recorder was made.
func (r *recorder) summary() Latency {
	r.cut()
	h := r.before
	l := Latency{Count: h.TotalCount()}
	if l.Count == 0 {
		return l
	}
	l.Min, l.Mean, l.Max = us(h.Min()), h.Mean()/1000, us(h.Max())
	l.P50, l.P90, l.P99, l.P999 = us(h.ValueAtPercentile(50)), us(h.ValueAtPercentile(90)), us(h.ValueAtPercentile(99)), us(h.ValueAtPercentile(99.9))
	return l
}

// distribution returns the curve, eight points for each halving of what is left
// of the 100 %, until fewer than one message is left.
func (r *recorder) distribution() []Quantile {
	r.cut()
	h := r.before
	n := float64(h.TotalCount())
	if n == 0 {
		return nil
	}
	var all []Quantile
	for i := 0; ; i++ {
		rest := math.Pow(0.5, float64(i)/8)
		if rest*n < 1 {
			break
		}
		percent := 100 * (1 - rest)
		all = append(all, Quantile{percent, us(h.ValueAtPercentile(percent))})
	}
	return append(all, Quantile{100, us(h.Max())})
}
