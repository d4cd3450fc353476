package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Case is one test of the suite. Cases are data and steps; the list is fixed when the program starts.
type Case struct {
	ID      string // RFC, section and a number: "6455-5.5.1-03"
	RFC     int
	Section string
	Title   string
	Expect  string // what a strict peer does

	tests  side
	terms  *terms // nil: no compression
	manual bool   // the steps do the handshake
	big    bool   // one at a time, with more time
	steps  []step
}

// TestsServer reports whether the case is for servers.
func (c *Case) TestsServer() bool { return c.tests&serverSide != 0 }

// TestsClient reports whether the case is for clients.
func (c *Case) TestsClient() bool { return c.tests&clientSide != 0 }

// onlyServer restricts a case to one role.
func (c *Case) onlyServer() *Case { c.tests = serverSide; return c }

// onlyClient restricts a case to one role.
func (c *Case) onlyClient() *Case { c.tests = clientSide; return c }

// with makes it a case of compression.
func (c *Case) with(t terms) *Case { c.terms = &t; return c }

// large gives the case more time and lets it run alone.
func (c *Case) large() *Case { c.big = true; return c }

// byHand leaves the handshake to the steps.
func (c *Case) byHand() *Case { c.manual = true; return c }

// table collects cases and numbers them within their section. New cases go to the end of their section's list, so that
// the IDs in people's files of expected results stay what they are.
type table struct {
	cases []*Case
	count map[string]int
}

// add appends a case; section is like "6455-5.4". A case whose steps leave the connection open says goodbye.
func (t *table) add(section, title string, steps ...step) *Case {
	t.count[section]++
	var says []string
	for _, s := range steps {
		if s.says != "" {
			says = append(says, s.says)
		}
	}
	rfc, number, _ := strings.Cut(section, "-")
	c := &Case{
		ID: fmt.Sprintf("%s-%02d", section, t.count[section]), Section: number, Title: title,
		Expect: strings.Join(says, "; then "), tests: bothSides, steps: steps,
	}
	_, _ = fmt.Sscan(rfc, &c.RFC)
	t.cases = append(t.cases, c)
	return c
}

// Cases lists all cases in their order: by RFC and section, as written.
func Cases() []*Case { return allCases() }

var allCases = sync.OnceValue(func() []*Case {
	t := &table{count: map[string]int{}}
	for _, add := range []func(*table){
		serverHandshakeCases, requestCases, clientHandshakeCases, maskingCases, framingCases, reservedCases, fragmentCases,
		controlCases, closeCases, utf8Cases, limitCases,
		negotiationCases, compressedCases, blockCases, brokenCompressionCases,
	} {
		add(t)
	}
	return t.cases
})

// run runs the steps on a session that is connected, or will be by the steps, and makes the result.
func (c *Case) run(s *session) Result {
	err := c.perform(s)
	s.finish()
	r := Result{ID: c.ID, RFC: c.RFC, Section: c.Section, Title: c.Title, Expect: c.Expect, Verdict: Strict}
	r.Millis = float64(time.Since(s.began).Microseconds()) / 1000
	var end *ending
	switch {
	case errors.As(err, &end):
		r.Verdict, r.Details = end.verdict, append([]string{end.text}, s.notes...)
	case err != nil:
		r.Verdict, r.Details = Failed, append([]string{err.Error()}, s.notes...)
	case len(s.notes) > 0:
		r.Verdict, r.Details = NonStrict, s.notes
	case len(s.remarks) > 0:
		r.Verdict, r.Details = Informational, s.remarks
	}
	if r.Verdict != Strict {
		r.Wire = s.wireLog()
	}
	return r
}

func (c *Case) perform(s *session) error {
	if !c.manual {
		if err := c.establish(s); err != nil {
			return err
		}
	}
	for _, st := range c.steps {
		if err := st.do(s); err != nil {
			return err
		}
		if s.ctx.Err() != nil {
			return failed("the case ran out of time")
		}
	}
	if s.pumped {
		return goodbye().do(s)
	}
	return nil
}

// establish does the handshake of a case that is not about handshakes.
func (c *Case) establish(s *session) error {
	if s.tested == clientSide {
		return c.establishServer(s)
	}
	var edits []edit
	if c.terms != nil {
		edits = append(edits, with("Sec-WebSocket-Extensions: "+c.terms.offer()))
	}
	if err := s.open(edits, 0, nil); err != nil {
		return err
	}
	agreed, err := s.upgraded(c.terms)
	if err != nil {
		return err
	}
	s.begin(agreed)
	return nil
}

// establishServer answers the request of a client under test.
func (c *Case) establishServer(s *session) error {
	resp := s.req.goodResponse()
	var agreed *agreement
	if c.terms != nil {
		answer, err := c.terms.answerTo(s.offered)
		if err != nil {
			s.decline()
			return err
		}
		resp.lines = append(resp.lines, "Sec-WebSocket-Extensions: "+answer.answer())
		agreed = answer.agreed()
	}
	s.write("handshake: "+resp.line, head(resp.line, resp.lines))
	s.begin(agreed)
	return nil
}

// decline ends a case that the client cannot take part in: it gets a good connection that closes at once.
func (s *session) decline() {
	resp := s.req.goodResponse()
	s.write("handshake: "+resp.line, head(resp.line, resp.lines))
	s.begin(nil)
	_ = goodbye().do(s)
}

// begin starts the frames.
func (s *session) begin(agreed *agreement) {
	s.deflate = agreed
	if agreed != nil {
		s.notes = append(s.notes, agreed.notes...)
		s.squeeze = agreed.compressor(s.tested)
	}
	s.start()
}

// timeout is the time that the case may take.
func (c *Case) timeout(o *Options) time.Duration {
	if c.big {
		return 8 * o.Timeout
	}
	return o.Timeout
}

// newCaseSession starts the case's clock.
func (c *Case) newSession(ctx context.Context, tested side, o *Options) (*session, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout(o))
	return newSession(ctx, tested, c.ID, o.Timeout), cancel
}
