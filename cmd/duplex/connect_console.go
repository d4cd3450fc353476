package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/term"
)

// console is the standard input and output of a command, and what is known of the terminal behind them. Tests hand in
// pipes.
type console struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	stdinTerminal, stdoutTerminal, stderrTerminal bool

	raw    func() (restore func(), err error) // makes the terminal hand over single keys
	size   func() (width, height int, err error)
	getenv func(string) string
}

// processConsole is the console of this process.
func processConsole() *console {
	in := int(os.Stdin.Fd())
	return &console{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		stdinTerminal:  term.IsTerminal(in),
		stdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		stderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		raw: func() (func(), error) {
			state, err := term.MakeRaw(in)
			if err != nil {
				return nil, err
			}
			return func() { _ = term.Restore(in, state) }, nil
		},
		size:   func() (int, int, error) { return term.GetSize(int(os.Stdout.Fd())) },
		getenv: os.Getenv,
	}
}

// wantsColour follows no-color.org: NO_COLOR with any value means none; so does a terminal that calls itself dumb.
func (c *console) wantsColour(terminal bool) bool {
	return terminal && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb"
}

// prompt is a line at the bottom of the terminal that a person edits while messages appear above it.
type prompt struct {
	term    *term.Terminal
	console *console
	history *history
	restore func()
	wide    atomic.Bool // the line may hold wide characters
}

const (
	promptOnline  = "> "
	promptOffline = "(offline) > "

	// longestLine is where the line editor stops taking characters without a sign.
	longestLine = 4096
)

var errLongLine = fmt.Errorf("the line reached the prompt's limit of %d characters, so it may be cut and was not sent; use /file PATH, or pipe it in", longestLine)

// newPrompt puts the terminal into raw mode; close undoes that.
func newPrompt(c *console, h *history) (*prompt, error) {
	restore, err := c.raw()
	if err != nil {
		return nil, fmt.Errorf("cannot read single keys from this terminal: %w", err)
	}
	p := &prompt{console: c, history: h, restore: restore}
	p.term = term.NewTerminal(&keyboard{p}, promptOffline)
	p.term.AutoCompleteCallback = completeCommand
	p.term.History = h
	p.term.SetBracketedPasteMode(true)
	return p, nil
}

func (p *prompt) close() {
	p.term.SetBracketedPasteMode(false)
	_, _ = io.WriteString(p.console.stdout, eraseLine) // the prompt; the terminal may be gone
	p.restore()
}

// eraseLine clears the terminal's line.
const eraseLine = "\r\x1b[K"

// keyboard is what the line editor reads and writes. The editor takes every character for one column wide, so it
// leaves parts of Chinese or emoji standing when it erases; keyboard has it draw such a line anew after each key.
type keyboard struct{ prompt *prompt }

// firstWide is where Unicode's wide characters begin.
const firstWide = 0x1100

// Read is called when all keys so far are worked through and drawn.
func (k *keyboard) Read(b []byte) (int, error) {
	if k.prompt.wide.Load() {
		if _, err := k.prompt.term.Write([]byte(eraseLine)); err != nil {
			return 0, err
		}
	}
	return k.prompt.console.stdin.Read(b)
}

func (k *keyboard) Write(b []byte) (int, error) {
	if bytes.ContainsFunc(b, func(r rune) bool { return r >= firstWide && r != utf8.RuneError }) {
		k.prompt.wide.Store(true)
	}
	return k.prompt.console.stdout.Write(b)
}

// Write shows lines above the prompt. b must end with a line break.
func (p *prompt) Write(b []byte) (int, error) {
	if width, height, err := p.console.size(); err == nil && width > 0 {
		_ = p.term.SetSize(width, height) // it fails only when the terminal does, as the write below will
	}
	if _, err := p.term.Write(append([]byte(eraseLine), b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// readLine waits for the next line. io.EOF: the person wants to leave.
func (p *prompt) readLine() (string, error) {
	p.wide.Store(false)
	line, err := p.term.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	if err == nil && utf8.RuneCountInString(line) >= longestLine {
		return "", errLongLine
	}
	return line, err
}

// historyKept is how many lines the history holds.
const historyKept = 1000

// history is what the arrow keys bring back: in memory, and in a file when the user names one. It is used by
// the goroutine that reads the prompt only.
type history struct {
	entries []string // oldest first
	file    *os.File // nil: memory only
	err     error    // the first failure to write the file
}

var _ term.History = (*history)(nil)

// openHistory reads the lines of an earlier session; an empty name keeps the history in memory.
func openHistory(name string) (*history, error) {
	h := new(history)
	if name == "" {
		return h, nil
	}
	// What was sent may be secret, so only its owner may read it.
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--history: %w", err)
	}
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, utf8.UTFMax*longestLine+1)
	for scanner.Scan() {
		h.remember(scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		file.Close()
		return nil, fmt.Errorf("--history %s: %w", name, err)
	}
	h.file = file
	return h, nil
}

func (h *history) close() error {
	if h.file == nil {
		return nil
	}
	return errors.Join(h.err, h.file.Close())
}

// remember reports whether the entry is new: empty lines and repetitions are not.
func (h *history) remember(entry string) bool {
	if strings.TrimSpace(entry) == "" || len(h.entries) > 0 && h.entries[len(h.entries)-1] == entry {
		return false
	}
	h.entries = append(h.entries, entry)
	if len(h.entries) > historyKept {
		h.entries = slices.Delete(h.entries, 0, len(h.entries)-historyKept)
	}
	return true
}

// Add is called by the line editor with every line.
func (h *history) Add(entry string) {
	if !h.remember(entry) || h.file == nil {
		return
	}
	if _, err := h.file.WriteString(entry + "\n"); err != nil && h.err == nil {
		h.err = err
	}
}

// Len is how many lines can be brought back.
func (h *history) Len() int { return len(h.entries) }

// At returns the line that is i lines back; 0 is the last one.
func (h *history) At(i int) string { return h.entries[len(h.entries)-1-i] }
