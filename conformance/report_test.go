package conformance

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func nastyReport() *Report {
	const nasty = `</script><script>alert(1)</script><img src=x onerror=alert(1)>"'&`
	return &Report{Tested: "server", Agent: nasty, Target: "ws://h/" + nasty, Results: []Result{
		{ID: "6455-5.2-01", RFC: 6455, Section: "5.2", Title: nasty, Verdict: Failed, Details: []string{nasty},
			Wire: []LogEntry{{Dir: ">", Note: nasty, Hex: "810548656c6c6f", Bytes: 7}}},
		{ID: "6455-5.10-01", RFC: 6455, Section: "5.10", Title: "fine", Verdict: Strict},
		{ID: "7692-7.1-01", RFC: 7692, Section: "7.1", Title: "not there", Verdict: Unimplemented, Details: []string{"declined"}},
		{ID: "6455-5.4-01", RFC: 6455, Section: "5.4", Title: "late", Verdict: NonStrict, Details: []string{"late"}},
	}}
}

func TestHTMLEscapesThePeer(t *testing.T) {
	var b bytes.Buffer
	if err := nastyReport().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img src=x") {
		t.Error("the page contains markup of the peer")
	}
	for _, want := range []string{"81 05 48 65 6c 6c 6f", "..Hello", "RFC 6455 section 5.2", `data-verdict="failed"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, outside := range []string{"src=\"", "href=\"http", "@import", "url("} {
		if strings.Contains(page, outside) {
			t.Errorf("the page refers to something outside: %q", outside)
		}
	}
}

func TestSummaryAndJSON(t *testing.T) {
	r := nastyReport()
	var b bytes.Buffer
	if err := r.WriteSummary(&b); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	if strings.Index(out, "6455-5.4 ") > strings.Index(out, "6455-5.10 ") {
		t.Error("the sections are not in order")
	}
	if !strings.Contains(out, "4 cases") || !strings.Contains(out, "1 failed, 1 non-strict, 1 unimplemented, 1 strict") {
		t.Error(out)
	}
	b.Reset()
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back.Results) != 4 || back.Results[0].Wire[0].Hex != "810548656c6c6f" {
		t.Errorf("%v %+v", err, back)
	}
}

func TestExpected(t *testing.T) {
	for name, bad := range map[string]string{
		"unknown case":    `{"6455-99-01": {"verdict": "failed", "reason": "r"}}`,
		"unknown verdict": `{"6455-5.2-01": {"verdict": "fine", "reason": "r"}}`,
		"no reason":       `{"6455-5.2-01": {"verdict": "failed"}}`,
		"unknown field":   `{"6455-5.2-01": {"verdict": "failed", "reason": "r", "x": 1}}`,
		"not JSON":        `{`,
	} {
		if _, err := ReadExpected(strings.NewReader(bad)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	e, err := ReadExpected(strings.NewReader(`{"6455-5.2-01": {"verdict": "failed", "reason": "known"}, "6455-5.4-01": {"verdict": "strict", "reason": "hoped"}}`))
	if err != nil {
		t.Fatal(err)
	}
	d := nastyReport().Compare(e)
	if len(d) != 2 || !strings.HasPrefix(d[0], "7692-7.1-01") || !strings.HasPrefix(d[1], "6455-5.4-01") {
		t.Errorf("differences %q", d)
	}
}
