package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// talk is what happens on one connection. Three goroutines share the work, so that none waits for another: one prints
// messages, one (the caller of run) sends, one prints control frames. A server that answers while we send would
// otherwise wait for us as we wait for it.
type talk struct {
	*session
	conn     *websocket.Conn
	arrived  chan struct{} // holds a token when session.received grew
	finished chan error    // why reading ended
	patience *time.Timer   // --wait, once there is nothing more to send; nil before
}

// run talks until the connection ends. nil: the server closed normally; errLeft: we did.
func (t *talk) run(ctx context.Context) error {
	talking, stop := context.WithCancel(ctx)
	printed := make(chan struct{})
	go t.printControls(talking, printed)
	defer func() {
		stop()
		<-printed
	}()
	go t.read(context.WithoutCancel(ctx)) // until the connection ends: also a signal's close frame is answered
	if t.actions == nil {
		t.startWaiting()
	}
	for {
		if t.counted() {
			return t.close(websocket.StatusNormalClosure, "", nil)
		}
		select {
		case a, ok := <-t.actions:
			if err := t.handle(talking, a, ok); err != nil {
				return err
			}
		case <-t.arrived:
		case <-t.patienceOver():
			return t.close(websocket.StatusNormalClosure, "", t.missingAnswers())
		case err := <-t.finished:
			return t.ended(err)
		case <-ctx.Done():
			return t.close(websocket.StatusGoingAway, "", nil)
		}
	}
}

// read prints what arrives, but no more than --count asks for.
func (t *talk) read(ctx context.Context) {
	for {
		typ, payload, err := t.conn.Read(ctx)
		if err != nil {
			t.finished <- err
			return
		}
		if t.cmd.Count > 0 && t.received.Load() >= int64(t.cmd.Count) {
			continue
		}
		t.printer.message(typ, payload)
		if err := t.printer.failed(); err != nil {
			t.finished <- withExit(exitUsage, fmt.Errorf("cannot write the output: %w", err))
			return
		}
		t.received.Add(1)
		select {
		case t.arrived <- struct{}{}:
		default: // run has not looked yet and will see this one too
		}
	}
}

// printControls prints control frames until ctx ends, and those that came before.
func (t *talk) printControls(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case c := <-t.controls:
			t.printControl(c)
		case <-ctx.Done():
			for len(t.controls) > 0 {
				t.printControl(<-t.controls)
			}
			return
		}
	}
}

func (t *talk) printControl(c control) {
	if missed := t.missed.Swap(0); missed > 0 {
		t.printer.notice("%s came faster than they could be shown", count(int(missed), "control frame"))
	}
	t.printer.control(c.op, c.payload)
}

// handle does what one action asks for; ok is false when there are no more. A non-nil error ends the run.
func (t *talk) handle(ctx context.Context, a action, ok bool) error {
	if !ok {
		t.actions = nil
		if err := <-t.sourceErr; err != nil {
			return t.close(websocket.StatusNormalClosure, "", withExit(exitUsage, err))
		}
		t.startWaiting()
		return nil
	}
	switch a.kind {
	case actionSend:
		return t.send(ctx, a)
	case actionPing:
		go t.ping(ctx)
	case actionInfo:
		t.info(t.conn)
	case actionHelp:
		t.printer.notice("%s", strings.Join(slashHelp(), "\n"))
	case actionQuit:
		return t.close(websocket.StatusNormalClosure, "", nil)
	case actionClose:
		return t.close(a.code, a.reason, nil)
	}
	return nil
}

// send waits until the message is on its way, the connection ends or the person at the prompt has had enough.
func (t *talk) send(ctx context.Context, a action) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.leaving, cancel)()
	err := t.conn.Write(ctx, a.typ, a.payload)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, net.ErrClosed):
		t.printer.bad("the last message of %s was not sent", count(len(a.payload), "byte"))
		return t.ended(<-t.finished) // the reader knows why
	case ctx.Err() != nil:
		t.printer.bad("a message of %s was not sent", count(len(a.payload), "byte"))
		return nil // run sees why
	}
	t.printer.bad("not sent: %s", visible(err.Error()))
	return nil
}

// ping measures a round trip. The pong itself is shown as every control frame is.
func (t *talk) ping(ctx context.Context) {
	began := time.Now()
	if err := t.conn.Ping(ctx); err != nil {
		return // the connection has ended, which run tells
	}
	t.printer.notice("the pong took %v", time.Since(began).Round(10*time.Microsecond))
}

// startWaiting begins --wait: everything is sent.
func (t *talk) startWaiting() {
	if wait := t.cmd.wait(); wait >= 0 {
		t.patience = time.NewTimer(wait)
	}
}

func (t *talk) patienceOver() <-chan time.Time {
	if t.patience == nil {
		return nil
	}
	return t.patience.C
}

// counted reports whether the messages of --count are here. What was piped in is sent first; a person has no last line.
func (t *talk) counted() bool {
	all := t.cmd.Count > 0 && t.received.Load() >= int64(t.cmd.Count)
	return all && (t.prompt != nil || t.actions == nil)
}

// missingAnswers is the error for fewer messages than --count, or nil.
func (t *talk) missingAnswers() error {
	if received := t.received.Load(); received < int64(t.cmd.Count) {
		return withExit(exitNoAnswer, fmt.Errorf("%s came, --count asks for %d", count(int(received), "message"), t.cmd.Count))
	}
	return nil
}

// close ends the connection from our side and waits for the reader, which may still print. result is what the run
// ends with when the closing handshake works: nil stands for errLeft.
func (t *talk) close(code websocket.StatusCode, reason string, result error) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := t.conn.Close(ctx, code, reason)
	if err != nil {
		t.conn.CloseNow()
	}
	ended := <-t.finished
	if result != nil {
		return result
	}
	if err != nil {
		if closed, ok := errors.AsType[*websocket.CloseError](ended); ok && !closed.Local && closed.Code != websocket.StatusAbnormalClosure {
			return t.ended(ended) // the server closed at the same moment
		}
		return withExit(exitAbnormal, fmt.Errorf("closed with %v, but the server did not answer the close frame", code))
	}
	t.printer.notice("closed with %v%s", code, quoted(reason))
	return errLeft
}

func quoted(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + visible(reason)
}

// ended tells how the connection ended when it was not us who wanted it.
func (t *talk) ended(err error) error {
	var coded *exitError
	if errors.As(err, &coded) {
		t.conn.CloseNow()
		return err
	}
	if broke, ok := errors.AsType[*websocket.ProtocolError](err); ok {
		if broke.Code == websocket.StatusMessageTooBig {
			return explain(exitAbnormal, err, "a message was longer than --max-message (%s); closed with %v", count(int(t.cmd.MaxMessage), "byte"), broke.Code)
		}
		return explain(exitProtocol, err, "the server broke the protocol: %s; closed with %v", visible(broke.Reason), broke.Code)
	}
	closed, ok := errors.AsType[*websocket.CloseError](err)
	if !ok || closed.Code == websocket.StatusAbnormalClosure {
		return explain(exitAbnormal, err, "the connection was lost: %s", visible(lostBecause(err, closed)))
	}
	if closed.Local {
		return explain(exitAbnormal, err, "closed with %v%s", closed.Code, quoted(closed.Reason))
	}
	return t.closedByServer(closed)
}

func lostBecause(err error, closed *websocket.CloseError) string {
	switch {
	case closed != nil && closed.Err != nil:
		return closed.Err.Error()
	case closed != nil && closed.Reason != "":
		return closed.Reason
	case closed != nil:
		return "there was no close frame"
	}
	return err.Error()
}

// closedByServer maps the server's close code to ours for the process.
func (t *talk) closedByServer(closed *websocket.CloseError) error {
	text := fmt.Sprintf("closed by the server with %v%s", closed.Code, quoted(closed.Reason))
	switch closed.Code {
	case websocket.StatusGoingAway, websocket.StatusNoStatus:
		if t.cmd.Reconnect { // a server that goes away comes back
			return explain(exitAbnormal, closed, "%s", text)
		}
		fallthrough
	case websocket.StatusNormalClosure:
		t.printer.notice("%s", text)
		if t.unsent() {
			return withExit(exitAbnormal, errors.New("the server closed before all of the input was sent"))
		}
		return t.missingAnswers()
	case websocket.StatusProtocolError, websocket.StatusInvalidPayload, websocket.StatusMandatoryExtension:
		return explain(exitProtocol, closed, "%s", text)
	}
	return explain(exitAbnormal, closed, "%s", text)
}

// unsentGrace is how long the reader of a pipe may take to hand over a line that is there already.
const unsentGrace = 50 * time.Millisecond

// unsent reports whether a piped message is waiting to be sent.
func (t *talk) unsent() bool {
	if t.prompt != nil || t.actions == nil {
		return false
	}
	select {
	case _, more := <-t.actions:
		return more
	case <-time.After(unsentGrace):
		return false
	}
}
