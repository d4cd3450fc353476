package interop

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/conformance"
)

// The conformance suite must find what is wrong elsewhere: gorilla and coder leave the UTF-8 of text to the program, so a plain echo
// server on them sends back text that is none, where RFC 6455 section 8.1 wants the connection to fail. Our server must not, in
// either style.
func TestConformanceFindsInvalidUTF8(t *testing.T) {
	for _, r := range []rival{gorillaRival, coderRival} {
		for _, setting := range r.settings {
			t.Run(r.name+" "+setting, func(t *testing.T) {
				ended := make(chan ending, 1024) // one for each case at most
				h := httptest.NewServer(r.handler(setting, nil, ended))
				defer h.Close()
				for _, result := range utf8Cases(t, "ws"+strings.TrimPrefix(h.URL, "http")) {
					invalid := strings.Contains(result.Title, "invalid") || strings.HasPrefix(result.Title, "a character cut off")
					switch {
					case setting == "off" && result.Verdict == conformance.Unimplemented: // compressed ones
					case invalid && result.Verdict != conformance.Failed:
						t.Errorf("%s %s: %s, but it lets this through", result.ID, result.Title, result.Verdict)
					case invalid && !strings.Contains(strings.Join(result.Details, "\n"), "accepted it"):
						t.Errorf("%s %s: failed for another reason: %q", result.ID, result.Title, result.Details)
					case !invalid && result.Verdict == conformance.Failed:
						t.Errorf("%s %s: valid text failed: %q", result.ID, result.Title, result.Details)
					}
				}
			})
		}
	}
	for _, style := range styles {
		t.Run("ours "+style, func(t *testing.T) {
			server := startOurs(t, style, "takeover")
			go func() {
				for range server.extensions {
				}
			}()
			go func() {
				for range server.ended {
				}
			}()
			for _, result := range utf8Cases(t, server.url) {
				// In the blocking style the connection reads ahead: it may have failed before the program answers an earlier message.
				late := style == "blocking" && result.Title == "a good text, then an invalid one" && result.Verdict == conformance.NonStrict
				if result.Verdict != conformance.Strict && !late {
					t.Errorf("%s %s: %s: %q", result.ID, result.Title, result.Verdict, result.Details)
				}
			}
		})
	}
}

// utf8Cases runs the cases of section 8.1.
func utf8Cases(t *testing.T, url string) []conformance.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	report, err := conformance.TestServer(ctx, url, &conformance.Options{Only: []string{"6455-8.1-*"}, Parallel: 8})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) < 100 {
		t.Errorf("only %d cases", len(report.Results))
	}
	return report.Results
}
