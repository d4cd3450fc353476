package conformance

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed report.tmpl.html
var reportTemplate string

var reportHTML = template.Must(template.New("report").Funcs(template.FuncMap{
	"pairs": hexPairs, "section": sectionOf, "ascii": asciiOf,
}).Parse(reportTemplate))

// htmlCase is one case of the page.
type htmlCase struct {
	*Result
	Open bool // shown unfolded
}

// WriteHTML writes the report as one page that needs nothing else: no network, no other file. Everything that came from the
// peer is escaped.
func (r *Report) WriteHTML(w io.Writer) error {
	type count struct {
		Verdict Verdict
		N       int
		Shown   bool
	}
	page := struct {
		*Report
		Counts   []count
		Verdicts []Verdict
		Sections []sectionCount
		Cases    []htmlCase
		Took     string
	}{Report: r, Verdicts: Verdicts(), Sections: r.sections(), Took: fmt.Sprintf("%.1f s", r.Seconds)}
	for _, v := range Verdicts() {
		n := r.Count(v)
		page.Counts = append(page.Counts, count{v, n, n > 0 && (v != Strict || n == len(r.Results))})
	}
	for i := range r.Results {
		page.Cases = append(page.Cases, htmlCase{&r.Results[i], r.Results[i].Verdict == Failed && r.Count(Failed) <= 20})
	}
	return reportHTML.Execute(w, page)
}

// hexPairs writes "81 05 ..." for reading.
func hexPairs(s string) string {
	var b strings.Builder
	for i := 0; i+1 < len(s); i += 2 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s[i : i+2])
	}
	return b.String()
}

// asciiOf shows the printable bytes of hex digits, and dots for the others.
func asciiOf(s string) string {
	var b strings.Builder
	for i := 0; i+1 < len(s); i += 2 {
		var c byte
		_, _ = fmt.Sscanf(s[i:i+2], "%02x", &c)
		if c < 0x20 || c > 0x7E {
			c = '.'
		}
		b.WriteByte(c)
	}
	return b.String()
}

func sectionOf(r htmlCase) string { return fmt.Sprintf("RFC %d section %s", r.RFC, r.Section) }
