package natsbroker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	chunkMessages = 256
	chunkBytes    = 1 << 20

	askAgain = time.Second // a leader that has not answered

	staleWait  = 20 * time.Millisecond // for a replica that lags behind
	staleTries = 50
)

// entry is a message as the stream holds it.
type entry struct {
	*hub.Message
	lost bool // it cannot be read: it is of another version
}

var errNone = errors.New("no such message")

// Headers that NATS adds.
const (
	headerSequence = "Nats-Sequence"
	headerBefore   = "Nats-Last-Sequence"
	headerTime     = "Nats-Time-Stamp"
	headerSubject  = "Nats-Subject"
	headerPending  = "Nats-Num-Pending"

	headerEnd = "Duplex-End" // ours: there is no message, but the number of the last one
)

// get asks the stream's leader for one message and returns where it is. Unlike what replicas answer, that is up to date. errNone
// says that there is none.
func (b *Broker) get(ctx context.Context, query getQuery) (sequence uint64, err error) {
	request, err := json.Marshal(query)
	if err != nil {
		return 0, err
	}
	answer, err := b.askLeader(ctx, "$JS.API.STREAM.MSG.GET."+b.names.stream, request)
	if err != nil {
		return 0, err
	}
	var response struct {
		Message *struct {
			Sequence uint64 `json:"seq"`
		} `json:"message"`
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(answer.Data, &response); {
	case err != nil:
		return 0, fmt.Errorf("an answer of NATS: %w", err)
	case response.Message != nil:
		b.saw(response.Message.Sequence)
		return response.Message.Sequence, nil
	case response.Error == nil:
		return 0, errors.New("an answer of NATS with nothing in it")
	case response.Error.Code == 404 && !strings.Contains(response.Error.Description, "stream"):
		return 0, errNone
	default:
		return 0, errors.New(response.Error.Description)
	}
}

// askLeader asks until ctx ends: while no server leads the stream nobody answers, and a question that was on its way to a leader that has died
// is lost.
func (b *Broker) askLeader(ctx context.Context, subject string, request []byte) (*nats.Msg, error) {
	for {
		try, cancel := context.WithTimeout(ctx, askAgain)
		answer, err := b.nc.RequestWithContext(try, subject, request)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return answer, err
		}
	}
}

// codeOtherStream is how a stream's leader refuses a message for another stream.
const codeOtherStream jetstream.ErrorCode = 10060

// reach returns when the server that leads the stream of a subject knows of all our subscriptions: whatever is stored from then on comes to
// them. Servers tell each other of subscriptions in line with messages between them, but not in line with requests to JetStream, so this is a
// message to the stream, which refuses it.
func (b *Broker) reach(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, b.options.PublishTimeout)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, nats.NewMsg(subject), jetstream.WithExpectStream("-"))
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode == codeOtherStream {
		return nil
	}
	return cmp.Or(err, errors.New("the stream takes what is not for it"))
}

// getQuery is a request for a message in the terms of JetStream's API.
type getQuery struct {
	Sequence uint64     `json:"seq,omitempty"`          // this one, or with Next the first from here on
	Last     string     `json:"last_by_subj,omitempty"` // the last one on a subject
	Next     string     `json:"next_by_subj,omitempty"` // the first one on a subject
	Time     *time.Time `json:"start_time,omitempty"`   // with Next: from this time on
	Batch    int        `json:"batch,omitempty"`
	MaxBytes int        `json:"max_bytes,omitempty"`
}

// chunk reads some messages on a subject from a sequence on, from any replica, and how many there are behind them. A replica that lags may
// know less than there is.
func (b *Broker) chunk(ctx context.Context, subject string, from uint64, limit int) (entries []entry, pending uint64, err error) {
	request, err := json.Marshal(getQuery{Sequence: max(1, from), Next: subject, Batch: limit, MaxBytes: chunkBytes})
	if err != nil {
		return nil, 0, err
	}
	inbox := b.nc.NewRespInbox()
	answers := make(chan *nats.Msg, limit+1) // SubscribeSync would make one for 65,536 messages, which is half a megabyte
	subscription, err := b.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = subscription.Unsubscribe() }()
	if err := b.nc.PublishRequest("$JS.API.DIRECT.GET."+b.names.stream, inbox, request); err != nil {
		return nil, 0, err
	}
	for {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		if status := m.Header.Get("Status"); status != "" {
			switch {
			case status == "404":
				return entries, 0, nil
			case status == "204": // the end of the batch
				pending, _ := strconv.ParseUint(m.Header.Get(headerPending), 10, 64)
				return entries, pending, nil
			case status == "503":
				return nil, 0, nats.ErrNoResponders
			}
			return nil, 0, fmt.Errorf("NATS answers %s %s", status, m.Header.Get("Description"))
		}
		e, err := b.parse(m, m.Header.Get(headerSubject))
		if err != nil {
			return nil, 0, err
		}
		entries = append(entries, e)
	}
}

// parse reads a message that the stream has stored under a subject.
func (b *Broker) parse(m *nats.Msg, subject string) (entry, error) {
	sequence, err := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
	if err != nil {
		return entry{}, fmt.Errorf("a message without a sequence on %s", subject)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(headerTime))
	if err != nil {
		return entry{}, fmt.Errorf("a message without a time on %s", subject)
	}
	return b.entry(strings.TrimPrefix(subject, b.names.stored), sequence, at, m.Data), nil
}

func (b *Broker) entry(topic string, sequence uint64, at time.Time, data []byte) entry {
	m, _, err := decode(data)
	if err != nil {
		b.logger.Warn("a message cannot be read", "topic", topic, "offset", sequence, "error", err)
		return entry{&hub.Message{Topic: topic, Offset: sequence, Time: at}, true}
	}
	m.Topic, m.Offset, m.Time = topic, sequence, at
	return entry{m, false}
}

// between calls visit for the messages on a subject with sequences above after and up to last, a chunk at a time and in order. last is one that
// the leader has told, so a replica that does not know it yet is waited for.
func (b *Broker) between(ctx context.Context, subject string, after, last uint64, visit func([]entry)) error {
	for tries := 0; after < last; {
		entries, _, err := b.chunk(ctx, subject, after+1, chunkMessages)
		if err != nil {
			return err
		}
		for i, e := range entries {
			if e.Offset > last {
				entries = entries[:i]
				after = last // what comes later is not asked for
				break
			}
		}
		if n := len(entries); n > 0 {
			after = max(after, entries[n-1].Offset)
			tries = 0
			visit(entries)
			continue
		}
		if after >= last {
			return nil
		}
		// Either this replica lags behind, or the rest has been removed meanwhile.
		if _, err := b.get(ctx, getQuery{Sequence: after + 1, Next: subject}); errors.Is(err, errNone) {
			return nil
		} else if err != nil {
			return err
		}
		if tries++; tries > staleTries {
			return errors.New("the replicas of the stream lag behind")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(staleWait):
		}
	}
	return nil
}

// startOfLast returns a sequence from which on there are the last n messages on a subject, and perhaps some more.
func (b *Broker) startOfLast(ctx context.Context, subject string, n int, last uint64) (uint64, error) {
	const enough = chunkMessages
	count := func(from uint64) (uint64, uint64, error) {
		entries, pending, err := b.chunk(ctx, subject, from, 1)
		if err != nil || len(entries) == 0 {
			return 0, math.MaxUint64, err
		}
		return pending + 1, entries[0].Offset, nil
	}
	all, low, err := count(1)
	if err != nil || all <= uint64(n+enough) {
		return low, err
	}
	// From low on there are too many, from high on too few.
	for high := last; high-low > 1; {
		middle := low + (high-low)/2
		got, first, err := count(middle)
		switch {
		case err != nil:
			return 0, err
		case got < uint64(n):
			high = middle
		case got <= uint64(n+enough):
			return first, nil
		default:
			low = middle
		}
	}
	return low, nil
}

// known returns the sequence from which on all messages are younger than age, and a removed one can therefore not have been too old:
// that of the first one since then, which may be a mark. It is math.MaxUint64 if there is none.
// keeps is how many messages the topic keeps, at most.
func (b *Broker) known(ctx context.Context, age time.Duration, keeps int) (uint64, error) {
	since := time.Now().Add(-age).UTC()
	mark, err := b.get(ctx, getQuery{Time: &since, Next: ">"})
	if errors.Is(err, errNone) {
		return math.MaxUint64, nil
	}
	if err != nil {
		return 0, err
	}
	floor := b.stream.config.Load().floors.of(keeps)
	return max(mark, floor+min(1, math.MaxUint64-floor)), nil
}
