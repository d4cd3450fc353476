package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/internal/ledger"
)

// line is one line of a client's log, in JSON. The clients in Go and in TypeScript write the same.
type line struct {
	Time int64  `json:"t"` // milliseconds since 1970
	Kind string `json:"k"` // one of the constants below

	Sub   string           `json:"sub,omitempty"` // the topic or pattern of the subscription
	Topic string           `json:"topic,omitempty"`
	At    *client.Position `json:"at,omitempty"`
	ID    string           `json:"id,omitempty"`
	Seq   int              `json:"seq,omitempty"` // of a publication
	Last  bool             `json:"last,omitempty"`

	Reason    string           `json:"reason,omitempty"` // of a gap
	Since     *client.Position `json:"since,omitempty"`
	Until     *client.Position `json:"until,omitempty"`
	Recovered bool             `json:"recovered,omitempty"`
	Text      string           `json:"text,omitempty"` // an error's code and text; a state
}

// The kinds of lines.
const (
	lineBegin   = "begin"   // a subscription has begun: Sub, At
	lineMessage = "message" // Sub, Topic, At, ID
	lineGap     = "gap"     // Sub, Topic unless any, Reason, Since, Until
	lineResumed = "resumed" // Sub, At, Recovered
	lineSend    = "send"    // Topic, ID, Seq
	lineAck     = "ack"     // ID, At
	lineRefused = "refused" // ID, Text; it is sent again with the same ID, or is followed by unknown
	lineUnknown = "unknown" // ID, Text: given up
	lineState   = "state"   // Text
	lineFault   = "fault"   // Text: what must not happen to a client
)

// logFile is the log of one client. Its methods may be called from any goroutine.
type logFile struct {
	mu   sync.Mutex
	file *os.File
	out  *bufio.Writer
	err  error
}

func createLog(dir, name string) (*logFile, error) {
	f, err := os.Create(filepath.Join(dir, name+".jsonl"))
	if err != nil {
		return nil, err
	}
	return &logFile{file: f, out: bufio.NewWriterSize(f, 32<<10)}, nil
}

// write writes a line; its Time is now unless it has one.
func (l *logFile) write(n line) {
	if n.Time == 0 {
		n.Time = time.Now().UnixMilli()
	}
	text, err := json.Marshal(&n)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		_, err = l.out.Write(append(text, '\n'))
	}
	if err != nil && l.err == nil {
		l.err = err
	}
}

// close returns the first error that there was.
func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range []error{l.out.Flush(), l.file.Close()} {
		if err != nil && l.err == nil {
			l.err = err
		}
	}
	return l.err
}

// sending is the life of one publication.
type sending struct {
	ledger.Publication
	client  string
	sent    int64 // milliseconds since 1970
	settled int64 // when it was acknowledged or given up; 0: never
}

// records is what all logs say.
type records struct {
	sendings  []*sending
	journals  []ledger.Journal
	refusals  map[string]int // answers that were errors, by code
	gaveUp    map[string]int // publications that were given up, by the reason
	mishaps   []string       // what must not happen to a client
	clients   int
	connected int // how often clients came online
}

// readLogs reads all logs of a folder.
func readLogs(dir string) (*records, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	r := &records{refusals: make(map[string]int), gaveUp: make(map[string]int)}
	for _, name := range names {
		if err := r.read(name); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// read reads the log of one client.
func (r *records) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	who := strings.TrimSuffix(filepath.Base(name), ".jsonl")
	r.clients++
	one := clientLog{records: r, name: who, sent: make(map[string]*sending), subs: make(map[string]*ledger.Journal)}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var l line
		err := json.Unmarshal(lines.Bytes(), &l)
		if err == nil {
			err = one.take(&l)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, topic := range one.order {
		r.journals = append(r.journals, *one.subs[topic])
	}
	return nil
}

// clientLog is one log while it is read.
type clientLog struct {
	*records
	name  string
	sent  map[string]*sending
	subs  map[string]*ledger.Journal
	order []string // of subs
}

func (c *clientLog) take(l *line) error {
	switch l.Kind {
	case lineSend:
		s := &sending{client: c.name, sent: l.Time, Publication: ledger.Publication{
			Topic: l.Topic, ID: l.ID, Publisher: c.name, Seq: l.Seq, Last: l.Last,
		}}
		c.sent[l.ID] = s
		c.sendings = append(c.sendings, s)
	case lineAck, lineRefused, lineUnknown:
		return c.answer(l)
	case lineBegin, lineMessage, lineGap, lineResumed:
		return c.told(l)
	case lineState:
		if l.Text == "online" {
			c.connected++
		}
	case lineFault:
		c.mishaps = append(c.mishaps, c.name+": "+l.Text)
	default:
		return fmt.Errorf("%q is no kind of a line", l.Kind)
	}
	return nil
}

func (c *clientLog) answer(l *line) error {
	s := c.sent[l.ID]
	if s == nil {
		return fmt.Errorf("%s of %s, which was not sent", l.Kind, l.ID)
	}
	code, _, _ := strings.Cut(l.Text, ":")
	switch {
	case l.Kind == lineRefused:
		c.refusals[code]++
		return nil
	case s.settled != 0:
		return fmt.Errorf("a second answer to %s", l.ID)
	case l.Kind == lineUnknown:
		c.gaveUp[code]++
	case l.At == nil:
		return fmt.Errorf("the acknowledgement of %s has no position", l.ID)
	default:
		s.Acked, s.Position = true, *l.At
	}
	s.settled = l.Time
	return nil
}

func (c *clientLog) told(l *line) error {
	j := c.subs[l.Sub]
	if j == nil {
		j = &ledger.Journal{Name: c.name, Topic: l.Sub}
		c.subs[l.Sub] = j
		c.order = append(c.order, l.Sub)
	}
	e := ledger.Entry{Topic: l.Topic, ID: l.ID, Reason: l.Reason, Recovered: l.Recovered}
	switch l.Kind {
	case lineBegin:
		e.Kind = ledger.Begin
	case lineMessage:
		e.Kind = ledger.Message
	case lineGap:
		e.Kind = ledger.Gap
	case lineResumed:
		e.Kind = ledger.Resubscribed
	}
	for _, p := range []struct {
		from *client.Position
		to   *client.Position
		need bool
	}{{l.At, &e.Position, l.Kind != lineGap}, {l.Since, &e.Since, l.Kind == lineGap}, {l.Until, &e.Until, l.Kind == lineGap}} {
		if p.need && p.from == nil {
			return fmt.Errorf("%s of %s lacks a position", l.Kind, l.Sub)
		}
		if p.from != nil {
			*p.to = *p.from
		}
	}
	j.Entries = append(j.Entries, e)
	return nil
}

// publications is what the ledger wants to know.
func (r *records) publications() []ledger.Publication {
	all := make([]ledger.Publication, len(r.sendings))
	for i, s := range r.sendings {
		all[i] = s.Publication
	}
	return all
}
