package interop

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The JDK's java.net.http.WebSocket against our server. A JDK is too large to ask for, so its subtests exist only where there is one.
func TestJDKClient(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Log("not applicable: there is no java here")
		return
	}
	modules, err := exec.Command(java, "--list-modules").CombinedOutput()
	if err != nil || !strings.Contains(string(modules), "jdk.compiler@") {
		t.Logf("not applicable: %s is no JDK of version 17 or later", java)
		return
	}
	for _, style := range styles {
		for _, ours := range []string{"off", "takeover"} { // the JDK's client does not compress
			t.Run(style+" "+ours, func(t *testing.T) {
				server := startOurs(t, style, ours, "chat.v2", "chat.v1")
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				out, err := exec.CommandContext(ctx, java, "java/Client.java", server.url).CombinedOutput()
				if err != nil || strings.TrimSpace(string(out)) != "ok" {
					t.Fatalf("%v: %s", err, out)
				}
				for _, want := range []ending{{4001, "genug 够了"}, {4002, ""}} {
					if got := awaitEnding(t, server.ended); got != want {
						t.Errorf("our server saw %v, want %v", got, want)
					}
				}
			})
		}
	}
}
