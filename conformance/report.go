package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Result is what one case found.
type Result struct {
	ID      string     `json:"id"`
	RFC     int        `json:"rfc"`
	Section string     `json:"section"`
	Title   string     `json:"title"`
	Expect  string     `json:"expect"`
	Verdict Verdict    `json:"verdict"`
	Details []string   `json:"details,omitempty"` // why the verdict is not Strict
	Millis  float64    `json:"ms"`
	Wire    []LogEntry `json:"wire,omitempty"` // of cases that are not Strict
}

// Report is the result of one run, in the order of Cases. It is made by TestServer, TestClient and Client.
type Report struct {
	Tested  string    `json:"tested"` // "server" or "client"
	Agent   string    `json:"agent"`
	Target  string    `json:"target,omitempty"` // the server's URL
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	Results []Result  `json:"results"`
}

// Count is the number of cases with the verdict.
func (r *Report) Count(v Verdict) (n int) {
	for i := range r.Results {
		if r.Results[i].Verdict == v {
			n++
		}
	}
	return n
}

// OK reports whether no case failed.
func (r *Report) OK() bool { return r.Count(Failed) == 0 }

// Result returns the result of a case, or nil.
func (r *Report) Result(id string) *Result {
	i := slices.IndexFunc(r.Results, func(x Result) bool { return x.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Results[i]
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteSummary writes the report for a terminal: one line for each case that is Failed, NonStrict or Informational, the
// Unimplemented ones in one line, and the numbers for each section.
func (r *Report) WriteSummary(w io.Writer) error {
	var b strings.Builder
	for _, v := range []Verdict{Failed, NonStrict, Informational} {
		for i := range r.Results {
			if x := &r.Results[i]; x.Verdict == v {
				fmt.Fprintf(&b, "%-13s %-16s %s\n%31s%s\n", v, x.ID, x.Title, "", strings.Join(x.Details, "; "))
			}
		}
	}
	if n := r.Count(Unimplemented); n > 0 {
		fmt.Fprintf(&b, "%-13s %d cases\n", Unimplemented, n)
	}
	b.WriteString("\nsection       strict  non-strict  informational  unimplemented  failed\n")
	for _, s := range r.sections() {
		fmt.Fprintf(&b, "%-13s %6d  %10d  %13d  %13d  %6d\n", s.Name, s.Counts[Strict], s.Counts[NonStrict], s.Counts[Informational], s.Counts[Unimplemented], s.Counts[Failed])
	}
	fmt.Fprintf(&b, "\n%s %s: %s\n", r.Tested, r.Agent, r.Summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary is one line: the number of cases, the time, and how many have each verdict.
func (r *Report) Summary() string {
	var out []string
	for _, v := range Verdicts() {
		if n := r.Count(v); n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, v))
		}
	}
	return fmt.Sprintf("%d cases in %.1f s: %s", len(r.Results), r.Seconds, strings.Join(out, ", "))
}

// sectionCount is one line of the table of sections.
type sectionCount struct {
	Name   string
	Counts map[Verdict]int
}

func (r *Report) sections() []sectionCount {
	at := map[string]int{}
	var out []sectionCount
	for i := range r.Results {
		x := &r.Results[i]
		name := fmt.Sprintf("%d-%s", x.RFC, x.Section)
		if _, ok := at[name]; !ok {
			at[name] = len(out)
			out = append(out, sectionCount{name, map[Verdict]int{}})
		}
		out[at[name]].Counts[x.Verdict]++
	}
	slices.SortStableFunc(out, func(a, b sectionCount) int { return compareSections(a.Name, b.Name) })
	return out
}

// compareSections orders "6455-5.10" behind "6455-5.2".
func compareSections(a, b string) int {
	number := func(s string) (out []int) {
		for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '-' || r == '.' }) {
			n := 0
			_, _ = fmt.Sscan(part, &n)
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(number(a), number(b))
}

// Expected is what a peer is known to do where it is not Strict: case ID to verdict and reason. Cases that are not named
// are expected to be Strict.
type Expected map[string]Expectation

// Expectation is one entry of Expected.
type Expectation struct {
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"` // why it is not Strict; never empty
}

// ReadExpected reads a JSON object of Expected and checks that every ID exists and every reason is given.
func ReadExpected(r io.Reader) (Expected, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var e Expected
	if err := d.Decode(&e); err != nil {
		return nil, fmt.Errorf("conformance: expected results: %w", err)
	}
	known := map[string]bool{}
	for _, c := range Cases() {
		known[c.ID] = true
	}
	for id, x := range e {
		switch {
		case !known[id]:
			return nil, fmt.Errorf("conformance: expected results name the unknown case %s", id)
		case behaviours[x.Verdict] == "":
			return nil, fmt.Errorf("conformance: expected results give case %s the unknown verdict %q", id, x.Verdict)
		case x.Reason == "":
			return nil, fmt.Errorf("conformance: expected results give no reason for case %s", id)
		}
	}
	return e, nil
}

// Compare lists where the report differs from what was expected, for better or worse, one line each.
func (r *Report) Compare(e Expected) (differences []string) {
	for i := range r.Results {
		x := &r.Results[i]
		want := Strict
		if y, ok := e[x.ID]; ok {
			want = y.Verdict
		}
		if x.Verdict != want {
			differences = append(differences, fmt.Sprintf("%s %q is %s, expected %s: %s", x.ID, x.Title, x.Verdict, want, strings.Join(x.Details, "; ")))
		}
	}
	return differences
}
