package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/internal/ledger"
)

// logs are the lines of a publisher and of two subscribers, as agents write them.
func logs() map[string][]string {
	at := func(offset int) string { return fmt.Sprintf(`{"epoch":"e","offset":%d}`, offset) }
	message := func(offset int, id string) string {
		return fmt.Sprintf(`{"t":20,"k":"message","sub":"kept.a","topic":"kept.a","at":%s,"id":"%s"}`, at(offset), id)
	}
	begin := `{"t":1,"k":"begin","sub":"kept.a","at":` + at(0) + `}`
	return map[string][]string{
		"p": {
			`{"t":1,"k":"state","text":"online"}`,
			`{"t":10,"k":"send","topic":"kept.a","id":"p-1","seq":1}`, `{"t":12,"k":"ack","id":"p-1","at":` + at(1) + `}`,
			`{"t":20,"k":"send","topic":"kept.a","id":"p-2","seq":2}`, `{"t":21,"k":"refused","id":"p-2","text":"unavailable: later"}`,
			`{"t":29,"k":"ack","id":"p-2","at":` + at(2) + `}`,
			`{"t":30,"k":"send","topic":"kept.a","id":"p-3","seq":3}`, `{"t":90,"k":"unknown","id":"p-3","text":"timeout: nobody knows"}`,
			`{"t":95,"k":"send","topic":"kept.a","id":"last-kept.a-1","last":true}`, `{"t":99,"k":"ack","id":"last-kept.a-1","at":` + at(9) + `}`,
		},
		"s1": {begin, message(1, "p-1"), message(2, "p-2"), message(9, "last-kept.a-1")},
		"s2": {
			begin, message(1, "p-1"), `{"t":25,"k":"resumed","sub":"kept.a","at":` + at(2) + `}`,
			`{"t":25,"k":"gap","sub":"kept.a","topic":"kept.a","reason":"expired","since":` + at(1) + `,"until":` + at(2) + `}`, message(9, "last-kept.a-1"),
		},
	}
}

// check writes logs, and reads and checks them as the report does.
func check(t *testing.T, logs map[string][]string) (*records, *ledger.Verdict, error) {
	t.Helper()
	dir := t.TempDir()
	for name, lines := range logs {
		if err := os.WriteFile(filepath.Join(dir, name+".jsonl"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := readLogs(dir)
	if err != nil {
		return nil, nil, err
	}
	return r, ledger.Check(r.publications(), r.journals), nil
}

func TestLogs(t *testing.T) {
	r, v, err := check(t, logs())
	if err != nil || len(v.Complaints) > 0 {
		t.Fatalf("%v, %q", err, v.Complaints)
	}
	if v.Acked != 3 || v.Unknown != 1 || v.Delivered != 5 || v.Missed["expired"] != 1 || v.Unrecovered != 1 {
		t.Errorf("%+v", v.Counts)
	}
	if r.clients != 3 || r.connected != 1 || r.refusals["unavailable"] != 1 || r.gaveUp["timeout"] != 1 || r.sendings[1].settled != 29 {
		t.Errorf("%+v", r)
	}
	waits := waitsOf(r)["p"]
	want := []wait{{10, 12}, {20, 29}, {30, 99}, {95, 99}}
	if !slices.Equal(waits, want) {
		t.Errorf("%v, want %v", waits, want)
	}
}

// TestFaultyLogs: each change of good logs is found.
func TestFaultyLogs(t *testing.T) {
	for _, c := range []struct {
		name, log string
		change    func([]string) []string
		says      string
	}{
		{"lost", "s1", func(l []string) []string { return slices.Delete(l, 2, 3) }, "s1 of kept.a: p-2 at e/2 is missing"},
		{"twice", "s1", func(l []string) []string { return slices.Insert(l, 2, l[1]) }, "p-1 at e/1 comes behind e/1"},
		{"in disorder", "s1", func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }, "comes behind e/2"},
		{"without its gap", "s2", func(l []string) []string { return slices.Delete(l, 3, 4) }, "no gap was told"},
		{"out of nowhere", "p", func(l []string) []string { return slices.Delete(l, 1, 3) }, "p-1 of kept.a was never published"},
		{"no end", "s2", func(l []string) []string { return l[:4] }, "does not have the last message of kept.a"},
		{"at another place", "s2", func(l []string) []string {
			l[4] = strings.Replace(l[4], `"offset":9`, `"offset":8`, 1)
			return l
		}, "its publisher was told e/9"},
	} {
		all := logs()
		all[c.log] = c.change(all[c.log])
		_, v, err := check(t, all)
		if err != nil || !strings.Contains(strings.Join(v.Complaints, "\n"), c.says) {
			t.Errorf("%s: %v, %+v", c.name, err, v)
		}
	}
}

// TestBrokenLogs: what cannot be read is not passed over.
func TestBrokenLogs(t *testing.T) {
	for _, c := range []struct{ line, says string }{
		{`{"t":1,`, "unexpected end of JSON"},
		{`{"t":1,"k":"sneeze"}`, `"sneeze" is no kind of a line`},
		{`{"t":1,"k":"ack","id":"x"}`, "ack of x, which was not sent"},
		{`{"t":1,"k":"ack","id":"p-1","at":{"epoch":"e","offset":1}}`, "a second answer to p-1"},
		{`{"t":1,"k":"message","sub":"kept.a"}`, "message of kept.a lacks a position"},
	} {
		all := logs()
		all["p"] = append(all["p"], c.line)
		if _, _, err := check(t, all); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "p.jsonl:11") {
			t.Errorf("%s: %v", c.line, err)
		}
	}
}

// TestLogFile: what is written can be read.
func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	log, err := createLog(dir, "c")
	if err != nil {
		t.Fatal(err)
	}
	log.write(line{Kind: lineBegin, Sub: "kept.>", At: &client.Position{Epoch: "e", Offset: 4}})
	log.write(line{Kind: lineFault, Text: "it fell"})
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	r, err := readLogs(dir)
	if err != nil || len(r.journals) != 1 || r.journals[0].Entries[0].Position.Offset != 4 || !slices.Equal(r.mishaps, []string{"c: it fell"}) {
		t.Errorf("%+v, %v", r, err)
	}
}
