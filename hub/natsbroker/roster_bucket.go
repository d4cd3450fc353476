package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	bucketFormat = "1" // of keys and values, in the bucket's metadata

	maxFound    = 1024 // records that NATS finds by their keys at one time
	pageRecords = 4096 // that one request for many records returns at most
	pageBytes   = 1 << 20

	markerLife = time.Minute // how long the bucket remembers that a key was taken away
)

// bucket is the key-value bucket in which the nodes keep who is present through them. What is put under a key that begins with p.
// is republished, so that whoever watches a topic is told by core NATS.
type bucket struct {
	b      *Broker
	stream string        // its name
	prefix string        // of its subjects: behind it is the key
	told   string        // the same of what it republishes
	marker time.Duration // how long it remembers that a key was taken away
}

// record is what is under a key.
type record struct {
	key      string
	sequence uint64
	data     []byte // empty: it was taken away
}

func newBucket(b *Broker) bucket {
	return bucket{b: b, stream: "KV_" + b.names.bucket, prefix: "$KV." + b.names.bucket + ".", told: b.options.Name + ".", marker: markerLife}
}

// open finds the bucket, or makes it. With apply it is made to fit the options.
func (k *bucket) open(ctx context.Context, apply bool) (*jetstream.StreamInfo, error) {
	found, err := k.b.js.Stream(ctx, k.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		found, err = k.b.js.CreateStream(ctx, k.fresh())
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was faster
			found, err = k.b.js.Stream(ctx, k.stream)
		}
	}
	if err != nil {
		return nil, err
	}
	info := found.CachedInfo()
	if f := info.Config.Metadata[metaFormat]; f != bucketFormat {
		return nil, &foreignError{k.stream, f}
	}
	if apply && info.Config.Replicas != k.b.options.Replicas {
		wanted := info.Config
		wanted.Replicas = k.b.options.Replicas
		if found, err = k.b.js.UpdateStream(ctx, wanted); err != nil {
			return nil, err
		}
		info = found.CachedInfo()
	}
	return info, nil
}

// fresh is the configuration of a new bucket: that of any key-value bucket, with republishing.
func (k *bucket) fresh() jetstream.StreamConfig {
	storage := jetstream.FileStorage
	if k.b.options.Memory {
		storage = jetstream.MemoryStorage
	}
	return jetstream.StreamConfig{
		Name:              k.stream,
		Description:       "Who is present, for Duplex",
		Subjects:          []string{k.prefix + ">"},
		Storage:           storage,
		Replicas:          k.b.options.Replicas,
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		DenyDelete:        true,
		AllowRollup:       true,
		AllowDirect:       true,
		AllowMsgTTL:       true,
		RePublish:         &jetstream.RePublish{Source: k.prefix + "p.>", Destination: k.told + "p.>"},
		Metadata:          map[string]string{metaFormat: bucketFormat},
	}
}

// put sets a key, or takes it away if data is empty, and returns the sequence of that. It takes at most Options.PublishTimeout.
func (k *bucket) put(ctx context.Context, key string, data []byte, options ...jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, k.b.options.PublishTimeout)
	defer cancel()
	if !k.b.nc.IsConnected() {
		return 0, nats.ErrConnectionClosed
	}
	m := nats.NewMsg(k.prefix + key)
	m.Data = data
	if len(data) == 0 {
		m.Header.Set("KV-Operation", "PURGE")
		options = append(options, jetstream.WithMsgTTL(k.marker))
	}
	ack, err := k.b.js.PublishMsg(ctx, m, options...)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// reach returns when the server that leads the bucket knows of all our subscriptions.
func (k *bucket) reach(ctx context.Context) error { return k.b.reach(ctx, k.prefix+"reach") }

// isConflict reports whether a put was refused because the key has changed meanwhile.
func isConflict(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) &&
		(refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// last asks the bucket's leader for the last record whose key matches; unlike what replicas answer, that is up to date. errNone says that
// there is none.
func (k *bucket) last(ctx context.Context, keys string) (record, error) {
	ctx, cancel := context.WithTimeout(ctx, k.b.options.PublishTimeout)
	defer cancel()
	request, err := json.Marshal(getQuery{Last: k.prefix + keys})
	if err != nil {
		return record{}, err
	}
	answer, err := k.b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+k.stream, request)
	if err != nil {
		return record{}, err
	}
	var response struct {
		Message *struct {
			Subject  string `json:"subject"`
			Sequence uint64 `json:"seq"`
			Data     []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(answer.Data, &response); {
	case err != nil:
		return record{}, fmt.Errorf("an answer of NATS: %w", err)
	case response.Message != nil:
		m := response.Message
		return record{strings.TrimPrefix(m.Subject, k.prefix), m.Sequence, m.Data}, nil
	case response.Error == nil:
		return record{}, errors.New("an answer of NATS with nothing in it")
	case response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return record{}, errNone
	}
	return record{}, response.Error
}

// scan calls visit for all records whose keys match, in the order of their sequences. Everything up to fence, which the leader told when scan
// was called, was looked at, and what has changed since then may have been.
func (k *bucket) scan(ctx context.Context, keys string, visit func(record)) (fence uint64, err error) {
	target, err := k.last(ctx, keys)
	if errors.Is(err, errNone) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	fence = target.sequence
	// NATS finds up to maxFound records by their keys. More than that it finds by looking through all that the bucket holds.
	for from, paged, tries := uint64(1), false, 0; ; tries++ {
		for more := true; more; {
			q := bucketQuery{Sequence: from, Last: []string{k.prefix + keys}}
			if paged {
				q = bucketQuery{Sequence: from, Next: k.prefix + keys, Batch: pageRecords, MaxBytes: pageBytes}
			}
			next, pending, err := k.page(ctx, q, visit)
			switch {
			case errors.Is(err, errTooMany) && !paged:
				paged = true
				continue
			case err != nil:
				return 0, err
			}
			more = pending > 0 && next > from
			from = next
		}
		if from > fence {
			return fence, nil
		}
		// Either this replica lags behind, or the last one was removed meanwhile.
		if target, err = k.last(ctx, keys); errors.Is(err, errNone) || err == nil && target.sequence < from {
			return fence, nil
		} else if err != nil {
			return 0, err
		}
		if tries >= staleTries {
			return 0, errors.New("the replicas of the bucket lag behind")
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(staleWait):
		}
	}
}

// bucketQuery is a request for records in the terms of JetStream's API.
type bucketQuery struct {
	Sequence uint64   `json:"seq,omitempty"`          // from here on
	Last     []string `json:"multi_last,omitempty"`   // those of these subjects, at most maxFound
	Next     string   `json:"next_by_subj,omitempty"` // or those of this subject, one after the other
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
}

var errTooMany = errors.New("too many records for one answer")

// page visits some records, as any replica knows them. It returns where the next page begins, and how many records are there or behind.
// It takes as long as records keep coming.
func (k *bucket) page(ctx context.Context, q bucketQuery, visit func(record)) (next, pending uint64, err error) {
	request, err := json.Marshal(q)
	if err != nil {
		return 0, 0, err
	}
	inbox := k.b.nc.NewInbox()
	answers := make(chan *nats.Msg, max(q.Batch, maxFound)+1) // all have room, so none is lost
	subscribed, err := k.b.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = subscribed.Unsubscribe() }() // it fails when the connection is closed, where it has ended already
	if err := k.b.nc.PublishRequest("$JS.API.DIRECT.GET."+k.stream, inbox, request); err != nil {
		return 0, 0, err
	}
	silence := time.NewTimer(k.b.options.PublishTimeout)
	defer silence.Stop()
	for next = q.Sequence; ; silence.Reset(k.b.options.PublishTimeout) {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-silence.C:
			return 0, 0, nats.ErrTimeout
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			r, err := k.record(m, k.prefix, m.Header.Get(headerSubject))
			if err != nil {
				return 0, 0, err
			}
			next = r.sequence + 1
			visit(r)
		case "204": // the end of the page
			pending, err = strconv.ParseUint(m.Header.Get(headerPending), 10, 64)
			return next, pending, err
		case "404":
			return next, 0, nil
		case "413":
			return 0, 0, errTooMany
		case "503":
			return 0, 0, nats.ErrNoResponders
		default:
			return 0, 0, fmt.Errorf("NATS answers %s %s", status, m.Header.Get("Description"))
		}
	}
}

// record reads a message of the bucket, or one that it has republished.
func (k *bucket) record(m *nats.Msg, prefix, subject string) (record, error) {
	sequence, err := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
	key, ours := strings.CutPrefix(subject, prefix)
	if err != nil || !ours {
		return record{}, fmt.Errorf("a message on %s with the sequence %q is none of the bucket's", subject, m.Header.Get(headerSequence))
	}
	return record{key, sequence, m.Data}, nil
}

// purge removes all records whose keys match, without a trace.
func (k *bucket) purge(ctx context.Context, keys string) error {
	ctx, cancel := context.WithTimeout(ctx, k.b.options.PublishTimeout)
	defer cancel()
	found, err := k.b.js.Stream(ctx, k.stream)
	if err != nil {
		return err
	}
	return found.Purge(ctx, jetstream.WithPurgeSubject(k.prefix+keys))
}
