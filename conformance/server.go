package conformance

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// Options are the choices of a run. The zero value is good.
type Options struct {
	Agent              string        // name in the report; default: the Server header of the peer, or "unknown"
	Parallel           int           // connections at a time; default 4
	Timeout            time.Duration // for one case; default 5 s. Large messages get eight times as much
	Header             http.Header   // added to every request (testing servers)
	InsecureSkipVerify bool          // accept any certificate (testing servers)
	Only               []string      // patterns of path.Match on IDs, e.g. "6455-5.5*"; default: all
	SkipLarge          bool          // leave out the cases with messages of more than 256 KiB
	OnResult           func(Result)  // called for each case when it is done, one at a time; nil: not called
}

func (o *Options) withDefaults() (*Options, error) {
	out := Options{}
	if o != nil {
		out = *o
	}
	if out.Parallel <= 0 {
		out.Parallel = 4
	}
	if out.Timeout <= 0 {
		out.Timeout = 5 * time.Second
	}
	for _, p := range out.Only {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("conformance: pattern %q: %w", p, err)
		}
	}
	return &out, nil
}

// choose lists the cases for one role.
func (o *Options) choose(tested side) []*Case {
	var out []*Case
	for _, c := range Cases() {
		if c.tests&tested == 0 || o.SkipLarge && c.big {
			continue
		}
		chosen := len(o.Only) == 0
		for _, p := range o.Only {
			ok, _ := path.Match(p, c.ID)
			chosen = chosen || ok
		}
		if chosen {
			out = append(out, c)
		}
	}
	return out
}

// TestServer tests the echo server behind a ws or wss URL. The error says why the server could not be tested at all;
// what is wrong with it is in the report. When ctx ends, the remaining cases are left out and the error is ctx's.
func TestServer(ctx context.Context, url string, o *Options) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	d, err := newDialer(url, o)
	if err != nil {
		return nil, err
	}
	report := &Report{Tested: "server", Agent: o.Agent, Target: url, Began: time.Now()}
	server, err := probe(ctx, d, o)
	if err != nil {
		return nil, err
	}
	if report.Agent == "" {
		report.Agent = server
	}
	results := runAll(ctx, o, d)
	for _, r := range results {
		if r.ID != "" {
			report.Results = append(report.Results, r)
		}
	}
	report.Seconds = time.Since(report.Began).Seconds()
	return report, ctx.Err()
}

// probe makes one good connection: a server that cannot do that is not tested. It learns whether compression is there.
func probe(ctx context.Context, d *dialer, o *Options) (agent string, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	s := newSession(ctx, serverSide, "probe", o.Timeout)
	s.dial = d
	defer s.finish()
	if err := s.open([]edit{with("Sec-WebSocket-Extensions: " + extension)}, 0, nil); err != nil {
		return "", fmt.Errorf("conformance: %s: %w", d.url, err)
	}
	if s.resp.err != nil {
		return "", fmt.Errorf("conformance: %s: no answer to the handshake: %w", d.url, s.resp.err)
	}
	if s.resp.status != http.StatusSwitchingProtocols {
		return "", fmt.Errorf("conformance: %s does not speak WebSocket: it answered %q", d.url, s.resp.line)
	}
	d.deflate = strings.Contains(s.resp.header.Get("Sec-Websocket-Extensions"), extension)
	if agent = s.resp.header.Get("Server"); agent == "" {
		agent = "unknown"
	}
	return agent, nil
}

// runAll runs the cases with a bounded number of connections. Large ones run one at a time, so that the memory of a run
// stays small.
func runAll(ctx context.Context, o *Options, d *dialer) []Result {
	cases := o.choose(serverSide)
	results := make([]Result, len(cases))
	var next, done sync.Mutex
	var large sync.Mutex
	at := 0
	take := func() int {
		next.Lock()
		defer next.Unlock()
		at++
		return at - 1
	}
	var wg sync.WaitGroup
	for range o.Parallel {
		wg.Go(func() {
			for i := take(); i < len(cases) && ctx.Err() == nil; i = take() {
				c := cases[i]
				if c.big {
					large.Lock()
				}
				r := c.testServer(ctx, o, d)
				if c.big {
					large.Unlock()
				}
				done.Lock()
				results[i] = r
				if o.OnResult != nil {
					o.OnResult(r)
				}
				done.Unlock()
			}
		})
	}
	wg.Wait()
	return results
}

func (c *Case) testServer(ctx context.Context, o *Options, d *dialer) Result {
	s, cancel := c.newSession(ctx, serverSide, o)
	defer cancel()
	s.dial = d
	return c.run(s)
}
