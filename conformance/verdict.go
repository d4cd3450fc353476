package conformance

import "fmt"

// Verdict is what a case says about the peer.
type Verdict string

// The verdicts, from best to worst.
const (
	Strict        Verdict = "strict"        // exactly as the RFC wants it, as early as possible
	NonStrict     Verdict = "non-strict"    // allowed, but not the best: the detail says what would be better
	Informational Verdict = "informational" // the RFC leaves it open; the detail says what the peer does
	Unimplemented Verdict = "unimplemented" // the peer did not negotiate what the case needs
	Failed        Verdict = "failed"        // breaks a rule of the RFC
)

// Verdicts lists all verdicts in the order of reports.
func Verdicts() []Verdict {
	return []Verdict{Failed, NonStrict, Informational, Unimplemented, Strict}
}

// behaviours are the names that clients of the field's usual suite know from /getCaseStatus.
var behaviours = map[Verdict]string{
	Strict: "OK", NonStrict: "NON-STRICT", Informational: "INFORMATIONAL",
	Unimplemented: "UNIMPLEMENTED", Failed: "FAILED",
}

// ending is how a step ends a case: with a verdict and its reason.
type ending struct {
	verdict Verdict
	text    string
}

func (e *ending) Error() string { return e.text }

func failed(format string, args ...any) error {
	return &ending{Failed, fmt.Sprintf(format, args...)}
}

func unimplemented(format string, args ...any) error {
	return &ending{Unimplemented, fmt.Sprintf(format, args...)}
}

func informational(format string, args ...any) error {
	return &ending{Informational, fmt.Sprintf(format, args...)}
}
