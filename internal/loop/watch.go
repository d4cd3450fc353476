package loop

import (
	"sync"
	"sync/atomic"
	"time"
)

// WatchTime is how often a Watch looks.
const WatchTime = time.Millisecond

// watchIdle is how many looks in a row find nothing before a Watch ends.
const watchIdle = 64

// A Watch looks at something once a millisecond, as long as there is something to
// see: a timer for each thing watched would cost more than the thing. All methods
// may be called from any goroutine.
type Watch struct {
	running atomic.Bool

	mu   sync.Mutex // held during look
	look func() (busy bool)
}

// NewWatch returns a Watch that calls look, always on one goroutine at a time.
func NewWatch(look func() (busy bool)) *Watch { return &Watch{look: look} }

// Start makes the Watch look, if it does not already. It is cheap enough to be
// called whenever there is something to see.
func (w *Watch) Start() {
	if !w.running.Load() && w.running.CompareAndSwap(false, true) {
		go w.run()
	}
}

func (w *Watch) run() {
	for idle := 0; idle < watchIdle; idle++ {
		// No ticker: after a delay its ticks come in quick succession, and a look
		// would find what the one just before has found.
		time.Sleep(WatchTime)
		if w.once() {
			idle = 0
		}
	}
	w.running.Store(false)
	if w.once() { // something came between the last look and the store
		w.Start()
	}
}

func (w *Watch) once() (busy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.look()
}
