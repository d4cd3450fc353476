// Package quotes is the server part of the quotes page: a simulated exchange with 500 symbols and 5,000 changes a second.
//
// Nobody could read 5,000 messages a second, and a phone could not even receive them. So there is one topic for the whole table, the board,
// to which the newest prices of each sector are published ten times a second, under the sector's name as the key and as bytes. The policy
// hub.SlowLatest does the rest: for whoever does not keep up, a newer message takes the place of the one with the same key that still waits,
// so that what arrives is never old, however slow the line is; a gap tells how many were left out. Those who follow single symbols have
// a topic for each.
//
// The exchange is open while anybody watches, and closes half a minute after the last one has gone. What happens follows from the prices
// and the time alone. Every five seconds all prices go into the history of a topic of the server's own, an hour of which it keeps: there
// the charts come from, and there the exchange goes on after a restart, or on another node of a cluster.
package quotes

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	prefix      = "demo.quotes."
	topicBoard  = prefix + "board"   // the newest prices of each sector, by its name; see market.board
	topicSymbol = prefix + "symbol." // then the symbol: its newest price, by its name
	topicStatus = prefix + "status"  // whether trading is halted
	topicBars   = prefix + "bars"    // of the server itself: all prices every barTime
	commandHalt = "quotes.halt"
)

const (
	codeUnknownSymbol hub.Code = "quotes.unknown-symbol"
	codeUnknownTopic  hub.Code = "quotes.unknown-topic"
	codeBadHalt       hub.Code = "quotes.bad-halt"
)

const (
	maxHalt   = 60 // seconds
	firstBars = 5 * time.Second
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	q := &quotes{env: env, audience: newAudience(), archive: &archive{}}
	return &showcase.App{
		Name: "quotes",
		Topics: []hub.Rule{
			// Each sector waits once at most, so that none is ever dropped.
			{Pattern: topicBoard, TopicOptions: hub.TopicOptions{Slow: hub.SlowLatest, SlowMessages: len(sectors), Publish: hub.Nobody}},
			{Pattern: topicSymbol + "*", TopicOptions: hub.TopicOptions{Slow: hub.SlowLatest, SlowMessages: 1, Publish: hub.Nobody}},
			{Pattern: topicStatus, TopicOptions: hub.TopicOptions{HistoryMessages: 1, Publish: hub.Nobody}},
			{Pattern: topicBars, TopicOptions: hub.TopicOptions{
				HistoryMessages: keepBars, HistoryAge: 7 * 24 * time.Hour, HistoryBytes: 8 << 20, Publish: hub.Nobody,
			}},
		},
		Subscribe: q.subscribe,
		Requests: map[string]hub.RequestHandler{
			"listing": showcase.Answering(q.list),
			"chart":   showcase.Answering(q.chart),
			"meter":   showcase.Answering(q.meter),
			"halt":    showcase.Answering(q.halt),
		},
		Sockets:  map[string]showcase.Socket{"/quotes/slow": &slowLine{env: env}},
		Commands: map[string]hub.CommandHandler{"halt": q.haltHere},
		Solo:     q.trade,
	}, nil
}

type quotes struct {
	env      *showcase.Env
	audience *audience
	archive  *archive
	halted   atomic.Int64 // until when, in milliseconds since 1970
}

// haltHere does what halt was asked at another node.
func (q *quotes) haltHere(data []byte) []byte {
	var until int64
	if !unmarshal(data, &until) {
		return nil
	}
	q.halted.Store(until)
	return []byte("true")
}

// subscribe is asked about everything below prefix. Patterns are refused, as what is published depends on who asks for it.
func (q *quotes) subscribe(call *hub.SubscribeCall) error {
	if strings.ContainsAny(call.Topic, "*>") {
		return hub.Errorf(hub.CodeForbidden, "quotes are subscribed to one by one: %s for all of them, %sSYMBOL for one", topicBoard, topicSymbol)
	}
	switch symbol, ok := strings.CutPrefix(call.Topic, topicSymbol); {
	case ok:
		if _, known := bySymbol[symbol]; !known {
			return unknown(symbol)
		}
	case call.Topic != topicBoard && call.Topic != topicStatus:
		return hub.Errorf(codeUnknownTopic, "there is no %.60q; quotes are in %s and %sSYMBOL", call.Topic, topicBoard, topicSymbol)
	}
	q.audience.expect(call.Topic, time.Now())
	return nil
}

func unknown(symbol string) error {
	return hub.Errorf(codeUnknownSymbol, "there is no symbol %.20q here; the request %slisting tells which there are", symbol, prefix)
}

// list answers with all symbols, in the order of the boards.
func (q *quotes) list(context.Context, *hub.Request, struct{}) (any, error) {
	return struct {
		Sectors   []string  `json:"sectors"`
		Companies []company `json:"companies"`
	}{sectors, listing}, nil
}

// chart answers with the past of a symbol: times in milliseconds since 1970, and prices in cents.
func (q *quotes) chart(ctx context.Context, _ *hub.Request, question struct{ Symbol string }) (any, error) {
	i, known := bySymbol[question.Symbol]
	if !known {
		return nil, unknown(question.Symbol)
	}
	bars, err := q.past(ctx)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Times  []int64  `json:"times"`
		Prices []uint32 `json:"prices"`
	}{make([]int64, len(bars)), make([]uint32, len(bars))}
	for n := range bars {
		answer.Times[n] = (int64(bars[n].number) + 1) * barTime.Milliseconds()
		answer.Prices[n] = bars[n].prices[i]
	}
	return answer, nil
}

// past returns the bars. If there are none because the exchange has never been open, it waits until there are.
func (q *quotes) past(ctx context.Context) ([]bar, error) {
	ctx, cancel := context.WithTimeout(ctx, firstBars)
	defer cancel()
	for {
		bars, err := q.archive.read(ctx, q.env.Hub)
		if err != nil || len(bars) > 0 {
			return bars, err
		}
		q.audience.expect(topicBars, time.Now())
		if !showcase.Wait(ctx, 50*time.Millisecond) {
			return nil, &hub.Error{Code: hub.CodeUnavailable, Message: "the exchange is not open yet", Retry: time.Second}
		}
	}
}

// meter answers with what the board has cost this node so far, over all who watch it here.
func (q *quotes) meter(context.Context, *hub.Request, struct{}) (any, error) {
	var answer struct {
		Published  uint64 `json:"published"`
		Deliveries uint64 `json:"deliveries"`
		Superseded uint64 `json:"superseded"`
	}
	for _, r := range q.env.Hub.Stats().Rules {
		if r.Pattern == topicBoard {
			answer.Published, answer.Deliveries, answer.Superseded = r.Published, r.Deliveries, r.Superseded
		}
	}
	return answer, nil
}

// halt stops trading for some seconds, or lets it go on (0). It takes an operator.
func (q *quotes) halt(ctx context.Context, r *hub.Request, question struct{ Seconds *int }) (any, error) {
	if err := q.env.Operators.Check(r.Session); err != nil {
		return nil, err
	}
	if question.Seconds == nil || *question.Seconds < 0 || *question.Seconds > maxHalt {
		return nil, hub.Errorf(codeBadHalt, "seconds: 0 to %d, for how long trading is to be halted", maxHalt)
	}
	until := time.Now().Add(time.Duration(*question.Seconds) * time.Second).UnixMilli()
	q.halted.Store(until)
	_, err := q.env.Hub.Command(ctx, commandHalt, marshal(until))
	return struct {
		Until int64 `json:"until"`
	}{until}, err
}
