package natsbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	format = "1" // of messages, in the stream's metadata

	metaFormat = "duplex-format"
	metaEpoch  = "duplex-epoch"
	metaFloors = "duplex-floors"

	leastPerTopic = 256 // messages that the stream keeps of each topic at least
	leastWindow   = 2 * time.Minute

	// slack is how much longer than a rule says the stream keeps messages: for so long it is known for sure whether there was one that
	// is too old. Half of it is for clocks that differ.
	slack = time.Hour

	tickEvery = time.Minute
	tickLife  = 8 * 24 * time.Hour

	watchEvery = 5 * time.Second
	startTry   = 3 * time.Second
	startRetry = 250 * time.Millisecond
)

// stream is the stream as this node knows it.
type stream struct {
	b       *Broker
	config  atomic.Pointer[streamConfig]
	refresh sync.Mutex // held while the configuration is changed or read anew

	reported atomic.Uint64             // the last sequence that the leader has told
	caughtUp atomic.Pointer[time.Time] // when it was last known to be up to date; nil after another has been elected

	probing sync.Mutex
	probed  time.Time // when the last probe ended; guarded by probing
	result  error     // of the last probe; guarded by probing
}

// streamConfig is the part of the stream's configuration that matters to reading. It is immutable.
type streamConfig struct {
	epoch    string
	perTopic int           // messages that it keeps of each topic
	window   time.Duration // in which it knows a repeated ID
	floors   floors        // when perTopic was smaller
	maxBytes int64
}

// openStream takes over the stream, or makes it. It tries until ctx ends what may succeed later.
func openStream(ctx context.Context, b *Broker) (*stream, error) {
	s := &stream{b: b}
	for {
		// A cluster that has no leader yet does not answer.
		try, cancel := context.WithTimeout(ctx, startTry)
		err := s.open(try, true)
		if err == nil {
			err = s.tick(try)
		}
		cancel()
		var foreign *foreignError
		if err == nil || errors.As(err, &foreign) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the stream %s cannot be opened: %w", b.names.stream, err)
		case <-time.After(startRetry):
		}
	}
}

// foreignError is for a stream that somebody else has made.
type foreignError struct{ name, format string }

func (e *foreignError) Error() string {
	if e.format == "" {
		return fmt.Sprintf("the stream %s is not one of Duplex; choose another name", e.name)
	}
	return fmt.Sprintf("the stream %s has format %s, and this version of Duplex knows %s only", e.name, e.format, format)
}

// open finds the stream, or makes it. With apply it is made to fit the options.
func (s *stream) open(ctx context.Context, apply bool) error {
	s.refresh.Lock()
	defer s.refresh.Unlock()
	found, err := s.b.js.Stream(ctx, s.b.names.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		found, err = s.b.js.CreateStream(ctx, s.fresh())
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was faster
			found, err = s.b.js.Stream(ctx, s.b.names.stream)
		}
	}
	if err != nil {
		return err
	}
	info := found.CachedInfo()
	o := &s.b.options
	wanted := info.Config
	wanted.Metadata = maps.Clone(wanted.Metadata)
	if f := wanted.Metadata[metaFormat]; f != format {
		return &foreignError{s.b.names.stream, f}
	}
	if apply && o.NewEpoch {
		wanted.Metadata[metaEpoch] = newEpoch()
		o.NewEpoch = false
	}
	wanted.Replicas, wanted.MaxBytes = o.Replicas, maxBytes(o.MaxBytes)
	if !apply {
		s.adopt(info)
		return nil
	}
	if wanted.Metadata[metaEpoch] != info.Config.Metadata[metaEpoch] || wanted.Replicas != info.Config.Replicas || wanted.MaxBytes != info.Config.MaxBytes {
		if found, err = s.b.js.UpdateStream(ctx, wanted); err != nil {
			return err
		}
		info = found.CachedInfo()
	}
	s.adopt(info)
	return nil
}

// fresh is the configuration of a new stream.
func (s *stream) fresh() jetstream.StreamConfig {
	b := s.b
	storage := jetstream.FileStorage
	if b.options.Memory {
		storage = jetstream.MemoryStorage
	}
	return jetstream.StreamConfig{
		Name:              b.names.stream,
		Description:       "Topics of Duplex",
		Subjects:          []string{b.names.stored + ">", b.names.tick + "*"},
		Storage:           storage,
		Replicas:          b.options.Replicas,
		MaxBytes:          maxBytes(b.options.MaxBytes),
		Discard:           jetstream.DiscardNew, // whoever publishes learns that there is no room
		MaxMsgsPerSubject: leastPerTopic,
		Duplicates:        leastWindow,
		AllowDirect:       true,
		AllowMsgTTL:       true,
		RePublish:         &jetstream.RePublish{Source: b.names.stored + ">", Destination: b.names.kept + ">"},
		Metadata:          map[string]string{metaFormat: format, metaEpoch: newEpoch()},
	}
}

func maxBytes(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

func newEpoch() string { return rand.Text()[:8] }

// adopt takes note of what the stream is like.
func (s *stream) adopt(info *jetstream.StreamInfo) {
	c := &streamConfig{
		epoch: info.Config.Metadata[metaEpoch], perTopic: int(info.Config.MaxMsgsPerSubject), window: info.Config.Duplicates, maxBytes: info.Config.MaxBytes,
	}
	if c.perTopic <= 0 {
		c.perTopic = math.MaxInt
	}
	c.floors = parseFloors(info.Config.Metadata[metaFloors])
	before := s.config.Swap(c)
	if before != nil && before.epoch != c.epoch {
		s.b.seen.Store(info.State.LastSeq)
		s.b.logger.Warn("the stream begins anew", "stream", s.b.names.stream, "epoch", c.epoch)
		s.b.follows.restart()
	}
	s.b.saw(info.State.LastSeq)
	s.reported.Store(info.State.LastSeq)
}

// catchUp returns when the stream's leader knows of everything that this node knows of. One that has just been elected may answer before
// it does, as if the newest messages did not exist.
func (s *stream) catchUp() error {
	ctx, cancel := context.WithTimeout(s.b.life, s.b.options.PublishTimeout)
	defer cancel()
	for {
		epoch, seen := s.config.Load().epoch, s.b.seen.Load()
		if err := s.open(ctx, false); err != nil {
			return err
		}
		if s.reported.Load() >= seen || s.config.Load().epoch != epoch {
			now := time.Now()
			s.caughtUp.Store(&now)
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the stream's leader lags behind")
		case <-time.After(staleWait):
		}
	}
}

// fit makes the stream keep as much as a topic's retention wants.
func (s *stream) fit(ctx context.Context, r *hub.Retention) error {
	c := s.config.Load()
	if r.Messages < c.perTopic && r.Window <= c.window {
		return nil
	}
	s.refresh.Lock()
	defer s.refresh.Unlock()
	if c = s.config.Load(); r.Messages < c.perTopic && r.Window <= c.window {
		return nil
	}
	found, err := s.b.js.Stream(ctx, s.b.names.stream)
	if err != nil {
		return err
	}
	wanted := found.CachedInfo().Config
	wanted.Duplicates = max(wanted.Duplicates, r.Window)
	if needed := int64(1) << bits.Len(uint(r.Messages)); wanted.MaxMsgsPerSubject > 0 && needed > wanted.MaxMsgsPerSubject {
		// Until when the old limit was in force is known once the new one is.
		before := append(parseFloors(wanted.Metadata[metaFloors]), floor{int(wanted.MaxMsgsPerSubject), math.MaxUint64})
		wanted.MaxMsgsPerSubject = needed
		wanted.Metadata = maps.Clone(wanted.Metadata)
		wanted.Metadata[metaFloors] = before.String()
	}
	if found, err = s.b.js.UpdateStream(ctx, wanted); err != nil {
		return err
	}
	s.adopt(found.CachedInfo())
	return s.settleFloor(ctx)
}

// settleFloor finds out up to where a smaller limit was in force, if that is not known.
func (s *stream) settleFloor(ctx context.Context) error {
	if !s.config.Load().floors.unknown() {
		return nil
	}
	found, err := s.b.js.Stream(ctx, s.b.names.stream)
	if err != nil {
		return err
	}
	wanted, state := found.CachedInfo().Config, &found.CachedInfo().State
	until := state.LastSeq
	if state.FirstSeq <= 1 && state.NumDeleted == 0 { // nothing has been removed at all
		until = 0
	}
	before := parseFloors(wanted.Metadata[metaFloors])
	for i := range before {
		before[i].until = min(before[i].until, until)
	}
	wanted.Metadata = maps.Clone(wanted.Metadata)
	wanted.Metadata[metaFloors] = before.String()
	if found, err = s.b.js.UpdateStream(ctx, wanted); err != nil {
		return err
	}
	s.adopt(found.CachedInfo())
	return nil
}

// watch keeps up with what happens to the stream, makes it anew if it has been deleted, and ticks.
func (s *stream) watch() {
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	ticked := time.Now()
	for {
		select {
		case <-s.b.life.Done():
			return
		case <-every.C:
		}
		ctx, cancel := context.WithTimeout(s.b.life, s.b.options.PublishTimeout)
		err := s.open(ctx, false)
		if err == nil {
			s.refresh.Lock()
			err = s.settleFloor(ctx)
			s.refresh.Unlock()
		}
		if err == nil && time.Since(ticked) >= tickEvery {
			if err = s.tick(ctx); err == nil {
				ticked = time.Now()
			}
		}
		cancel()
		if err != nil && s.b.life.Err() == nil {
			s.b.logger.Warn("the stream cannot be looked after", "stream", s.b.names.stream, "error", err)
		}
	}
}

// tick stores a mark, the same for all nodes, from which the time of a sequence can be told. See Broker.known.
func (s *stream) tick(ctx context.Context) error {
	minute := strconv.FormatInt(time.Now().Unix()/int64(tickEvery/time.Second), 10)
	ack, err := s.b.js.PublishMsg(ctx, nats.NewMsg(s.b.names.tick+minute), jetstream.WithMsgID("tick-"+minute), jetstream.WithMsgTTL(tickLife))
	if err != nil {
		return err
	}
	s.b.saw(ack.Sequence)
	return nil
}

// probe finds out whether the stream takes messages, at most once a second and within Options.PublishTimeout.
func (s *stream) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.b.options.PublishTimeout)
	defer cancel()
	if !s.b.nc.IsConnected() {
		return errors.New("there is no connection to NATS")
	}
	s.probing.Lock()
	defer s.probing.Unlock()
	if time.Since(s.probed) < time.Second {
		return s.result
	}
	ack, err := s.b.js.PublishMsg(ctx, nats.NewMsg(s.b.names.tick+"probe"), jetstream.WithMsgTTL(tickLife))
	if err == nil {
		s.b.saw(ack.Sequence)
	} else {
		err = fmt.Errorf("NATS does not store messages: %w", err)
	}
	s.probed, s.result = time.Now(), err
	return err
}
