package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	castTimeout = 2 * time.Second  // of a Cast whose context has no deadline
	callTimeout = 30 * time.Second // of a Call, at most
	absentWait  = 100 * time.Millisecond

	maxJobs       = 256     // commands and requests of others that a broker works on at one time; more are refused at once
	headerReserve = 8 << 10 // of what NATS carries, for what stands before data
	maxOffers     = 1000    // of a node
)

// Headers of a message to a node. Names are tokens, as in keys.
const (
	headerCommand = "Duplex-Command" // the command to do
	headerMethod  = "Duplex-Method"  // or the method of the request to answer
	headerWait    = "Duplex-Wait"    // for how many milliseconds somebody waits for the answer
	headerOutcome = "Duplex-Outcome" // of an answer
)

// The outcomes of an answer.
const (
	outcomeDone    = "done"
	outcomeBusy    = "busy"
	outcomeUnknown = "unknown" // the node does not offer the method
	outcomeLarge   = "large"   // the answer is larger than NATS carries
	outcomeBad     = "bad"     // the message cannot be read
	outcomeGone    = "gone"    // the node has just left
)

// bus carries commands and requests straight to nodes. Which nodes there are, and what they offer, is in their leases.
type bus struct {
	b    *Broker       // immutable, as is what follows
	jobs chan struct{} // holds one for each that is being worked on

	mu    sync.Mutex
	lines map[hub.Node]line // guarded by mu
}

// line is where a node of ours is reached.
type line struct {
	sub *nats.Subscription
	to  *attached
}

func newBus(b *Broker) (*bus, error) {
	return &bus{b: b, jobs: make(chan struct{}, maxJobs), lines: make(map[hub.Node]line)}, nil
}

// attach makes a node, which the roster knows already, be reached by others.
func (u *bus) attach(n hub.Node) error {
	a, err := u.b.roster.of(n)
	if err != nil {
		return err
	}
	s, err := u.b.nc.Subscribe(u.b.names.commands+a.address, func(m *nats.Msg) { u.accept(a, m) })
	if err != nil {
		return err
	}
	if err := u.b.nc.FlushTimeout(u.b.options.PublishTimeout); err != nil {
		_ = s.Unsubscribe() // it fails when the connection is closed, where it has ended already
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lines[n] = line{s, a}
	return nil
}

// detach makes a node not be reached any more. What it is working on goes on, and is answered. What is on its way to it is answered with
// its having left.
func (u *bus) detach(n hub.Node) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l, known := u.lines[n]; known {
		delete(u.lines, n)
		l.to.gone.Store(true)
		_ = l.sub.Drain() // it fails when the connection is closed, where it has ended already
	}
}

// accept has a message of another node worked on, or refuses it.
func (u *bus) accept(a *attached, m *nats.Msg) {
	if a.gone.Load() {
		u.answer(m, outcomeGone, nil)
		return
	}
	select {
	case u.jobs <- struct{}{}:
	default:
		u.answer(m, outcomeBusy, nil)
		return
	}
	go func() {
		defer func() { <-u.jobs }()
		outcome, data := u.work(a, m)
		u.answer(m, outcome, data)
	}()
}

func (u *bus) work(a *attached, m *nats.Msg) (outcome string, data []byte) {
	if name, ok := untoken(m.Header.Get(headerCommand)); ok && name != "" {
		return outcomeDone, a.node.Do(name, m.Data)
	}
	method, ok := untoken(m.Header.Get(headerMethod))
	wait, err := strconv.ParseUint(m.Header.Get(headerWait), 10, 31)
	if !ok || method == "" || err != nil {
		return outcomeBad, nil
	}
	if !u.b.roster.offers(a, method) {
		return outcomeUnknown, nil
	}
	ctx, cancel := context.WithTimeout(u.b.life, min(callTimeout, time.Duration(wait)*time.Millisecond))
	defer cancel()
	return outcomeDone, a.node.Answer(ctx, method, m.Data)
}

func (u *bus) answer(m *nats.Msg, outcome string, data []byte) {
	if len(data) > u.room() {
		outcome, data = outcomeLarge, nil
	}
	answer := nats.NewMsg(m.Reply)
	answer.Header.Set(headerOutcome, outcome)
	answer.Data = data
	if err := m.RespondMsg(answer); err != nil && u.b.life.Err() == nil {
		u.b.logger.Warn("another node is not answered", "error", err)
	}
}

// room returns how many bytes of data a message can carry.
func (u *bus) room() int { return int(u.b.nc.MaxPayload()) - headerReserve }

// errAbsent is for a node that is not where it said. Its lease is perhaps not over yet.
var errAbsent = errors.New("it is not there")

// ask sends a message to a node, and returns its answer.
func (u *bus) ask(ctx context.Context, address, header, name string, data []byte) (outcome string, answer []byte, err error) {
	m := nats.NewMsg(u.b.names.commands + address)
	m.Header.Set(header, token(name))
	deadline, _ := ctx.Deadline()
	m.Header.Set(headerWait, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	m.Data = data
	reply, err := u.b.nc.RequestMsgWithContext(ctx, m)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return "", nil, errAbsent
	case err != nil:
		return "", nil, err
	}
	if outcome = reply.Header.Get(headerOutcome); outcome == outcomeGone {
		return "", nil, errAbsent
	}
	return outcome, reply.Data, nil
}

// outcomeError says what an outcome other than outcomeDone means.
func outcomeError(outcome string) error {
	switch outcome {
	case outcomeBusy:
		return errors.New("it is busy with others")
	case outcomeLarge:
		return errors.New("its answer is larger than NATS carries")
	case outcomeUnknown:
		return errors.New("it does not know that")
	}
	return fmt.Errorf("it answers %q", outcome)
}

// Cast implements hub.Broker. A context without a deadline is given 2 seconds.
func (b *Broker) Cast(ctx context.Context, n hub.Node, command string, data []byte) (answers [][]byte, err error) {
	if len(data) > b.bus.room() {
		return nil, hub.Errorf(hub.CodeTooLarge, "a command has at most %d bytes, not %d", b.bus.room(), len(data))
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, castTimeout)
		defer cancel()
	}
	addresses, err := b.roster.others(ctx, n, "", true)
	if err != nil {
		return nil, err
	}
	results := make([][]byte, len(addresses))
	errs := make([]error, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { results[i], errs[i] = b.bus.command(ctx, address, command, data) })
	}
	asking.Wait()
	var silent []string
	for i, err := range errs {
		switch {
		case err == nil:
			answers = append(answers, results[i])
		case !errors.Is(err, errGone):
			silent = append(silent, fmt.Sprintf("%s (%v)", addresses[i], err))
		}
	}
	if len(silent) > 0 {
		slices.Sort(silent)
		return answers, hub.Errorf(hub.CodeUnavailable, "%d of %d other nodes did not do %s: %s", len(silent), len(addresses), command, strings.Join(silent, ", "))
	}
	return answers, nil
}

var errGone = errors.New("it has left")

// command has one node do a command. A node that is not there has only just come, or is about to leave.
func (u *bus) command(ctx context.Context, address, command string, data []byte) ([]byte, error) {
	for {
		outcome, answer, err := u.ask(ctx, address, headerCommand, command, data)
		switch {
		case err == nil && outcome == outcomeDone:
			return answer, nil
		case err == nil:
			return nil, outcomeError(outcome)
		case ctx.Err() != nil:
			return nil, errors.New("no answer in time")
		case !errors.Is(err, errAbsent):
			return nil, err
		}
		select {
		case <-time.After(absentWait):
		case <-ctx.Done():
		}
		if !u.b.roster.there(address) {
			return nil, errGone
		}
		if ctx.Err() != nil {
			return nil, errAbsent
		}
	}
}

// Offer implements hub.Broker. A node has at most 1,000 offers.
func (b *Broker) Offer(n hub.Node, method string) (withdraw func(), err error) {
	if err := hub.CheckPattern(method); err != nil {
		return nil, err
	}
	r := b.roster
	a, err := r.of(n)
	if err != nil {
		return nil, err
	}
	o := &offer{method}
	if err := r.changeOffers(a, func(all []*offer) []*offer { return append(all, o) }); err != nil {
		return nil, unavailable("the method cannot be offered", err)
	}
	return sync.OnceFunc(func() {
		err := r.changeOffers(a, func(all []*offer) []*offer {
			return slices.DeleteFunc(all, func(other *offer) bool { return other == o })
		})
		if err != nil && !errors.Is(err, errDetached) {
			b.logger.Warn("others learn later that a method is not offered any more", "method", method, "error", err)
		}
	}), nil
}

// Call implements hub.Broker. It takes at most 30 seconds.
func (b *Broker) Call(ctx context.Context, n hub.Node, method string, data []byte) (answer []byte, err error) {
	if err := hub.CheckTopic(method); err != nil {
		return nil, err
	}
	if len(data) > b.bus.room() {
		return nil, hub.Errorf(hub.CodeTooLarge, "a request has at most %d bytes, not %d", b.bus.room(), len(data))
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	busy := false
	tried := make(map[string]bool)
	for _, exact := range []bool{false, true} { // what is known here is usually all there is
		addresses, err := b.roster.others(bounded, n, method, exact)
		if err != nil {
			return nil, err
		}
		rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
		for _, address := range addresses {
			if tried[address] {
				continue
			}
			tried[address] = true
			outcome, answer, err := b.bus.ask(bounded, address, headerMethod, method, data)
			switch {
			case err == nil && outcome == outcomeDone:
				return answer, nil
			case err == nil && outcome == outcomeUnknown, errors.Is(err, errAbsent): // its lease is not as new as that
			case err == nil && outcome == outcomeBusy:
				busy = true
			case err == nil:
				return nil, hub.Errorf(hub.CodeInternal, "%s cannot be answered: a node was asked, but %v", method, outcomeError(outcome))
			default: // it has perhaps been done, so nobody else is asked
				return nil, failed(ctx, method+" was not answered", err)
			}
		}
	}
	if busy {
		return nil, unavailable(method+" cannot be answered now", errors.New("all who could are busy"))
	}
	return nil, hub.Errorf(hub.CodeUnknownMethod, "nobody answers %s", method)
}
