package load

import "time"

// Format is the number of the JSON form of Result. It changes when a field
// changes its meaning or goes away; new fields do not change it.
const Format = 1

// Result is what a run measured. Its JSON form is documented in docs/bench.md
// and stable.
type Result struct {
	Format      int       `json:"duplex_bench"`
	URL         string    `json:"url"` // without a password
	Mode        Mode      `json:"mode"`
	Started     time.Time `json:"started"`
	Interrupted bool      `json:"interrupted"` // it ended before its time, at the caller's wish
	Setup       Setup     `json:"setup"`

	// Seconds of the measurement; Messages that came back within it (deliveries
	// with Broadcast, handshakes with Handshake), and those of them a second.
	Seconds   float64 `json:"seconds"`
	Messages  int64   `json:"messages"`
	PerSecond float64 `json:"messages_per_second"`

	// Scheduled is how many an open loop meant to send meanwhile, PerSecond's
	// due; Unanswered those of them without a reply in the end.
	Scheduled  int64 `json:"scheduled,omitempty"`
	Unanswered int64 `json:"unanswered,omitempty"`

	// ReplyBytes is the mean payload of a reply as it came, so compressed where
	// it was, and Compressed the share that was.
	ReplyBytes float64 `json:"reply_payload_bytes"`
	Compressed float64 `json:"replies_compressed"`

	Latency Latency   `json:"latency"` // of messages; of handshakes with Handshake
	Connect Connect   `json:"connect"` // how the connections were opened
	Errors  []Failure `json:"errors"`  // by kind; empty: none
	Server  *Server   `json:"server,omitempty"`
	Load    Usage     `json:"load"` // this process
	Idle    *Memory   `json:"idle,omitempty"`
	Series  []Point   `json:"series"` // over the time of the measurement

	// Distribution is the latency's curve: percentiles from 0 towards 100, ever
	// closer together.
	Distribution []Quantile `json:"distribution"`
}

// Setup repeats the Config that matters, with its defaults filled in.
type Setup struct {
	Connections int     `json:"connections"`
	Size        int     `json:"size"`
	InFlight    int     `json:"in_flight,omitempty"` // closed loop
	Rate        float64 `json:"rate,omitempty"`      // open loop
	Type        string  `json:"type"`                // text or binary
	Compression string  `json:"compression"`         // off, no-takeover or takeover
	Same        bool    `json:"same"`
	Seconds     float64 `json:"duration_seconds"`
	WarmUp      float64 `json:"warm_up_seconds"`
}

// Latency is a distribution in microseconds, from a histogram with three
// significant digits. With an open loop it counts from the scheduled time.
type Latency struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min_us"`
	Mean  float64 `json:"mean_us"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	Max   float64 `json:"max_us"`
}

// Connect tells how the connections of the run were opened.
type Connect struct {
	Opened  int     `json:"opened"`
	Seconds float64 `json:"seconds"`
	Latency Latency `json:"latency"` // TCP connection, TLS and handshake
}

// Failure is how often one kind of error was seen, and the first of them. It
// counts connections.
type Failure struct {
	Kind  Kind   `json:"kind"`
	Count int64  `json:"count"`
	First string `json:"first"`
}

// Usage is the CPU time of a process during the measurement.
type Usage struct {
	CPU          float64 `json:"cpu_seconds"`
	NsPerMessage float64 `json:"cpu_ns_per_message"`
	Busy         float64 `json:"busy"` // CPU time over wall time; 1 is one core
}

// Server is what is known of the server's process.
type Server struct {
	PID int `json:"pid"`
	Usage
	// Resident memory in bytes: before the first connection, when the measurement
	// ended, and the most that was seen at the points of the series.
	MemoryBefore int64 `json:"memory_before_bytes"`
	MemoryAfter  int64 `json:"memory_after_bytes"`
	MemoryPeak   int64 `json:"memory_peak_bytes"`
}

// Memory is what idle connections hold at the server, in bytes for each.
type Memory struct {
	// Fresh is after the handshake, Used after one message came back on each (0
	// with Config.NoExchange). Both are slopes between few connections and all of
	// them, so what the server holds once does not count.
	Fresh float64 `json:"bytes_fresh"`
	Used  float64 `json:"bytes_after_message"`
	// Curve is the memory as the connections came.
	Curve []MemoryPoint `json:"curve"`
}

// MemoryPoint is the server's resident memory with so many connections.
type MemoryPoint struct {
	Connections int   `json:"connections"`
	Bytes       int64 `json:"bytes"`
}

// Point is one interval of the measurement. Replies of an open loop that come
// after its end make points behind it.
type Point struct {
	At         float64 `json:"at_seconds"` // its end, from the start of the measurement
	Messages   int64   `json:"messages"`
	PerSecond  float64 `json:"messages_per_second"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	Max        float64 `json:"max_us"`
	ServerBusy float64 `json:"server_busy,omitempty"`
	Memory     int64   `json:"server_memory_bytes,omitempty"`
}

// Quantile is one point of a distribution: so many percent of all took at most
// that long.
type Quantile struct {
	Percent float64 `json:"percent"`
	Latency float64 `json:"us"`
}
