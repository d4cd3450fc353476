package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/server/auth"
	"github.com/duplex-websocket/duplex/websocket"
)

// tokenVerb runs the program and returns what it printed; it must exit with that code.
func tokenVerb(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(t.Context(), args, &out, &errs); got != code {
		t.Fatalf("duplex %q: exit code %d, want %d: %s", args, got, code, &errs)
	}
	return out.String(), errs.String()
}

// TestTokenVerb makes keys and tokens of every kind, which the server's own check accepts.
func TestTokenVerb(t *testing.T) {
	for kind, algorithm := range map[string]string{"": auth.HS256, "ed25519": auth.EdDSA, "p256": auth.ES256, "rsa": auth.RS256} {
		t.Run(algorithm, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "my.key")
			args, public := []string{"token", "--new-secret", "--out", name}, name
			if kind != "" {
				args, public = []string{"token", "--new-keypair", kind, "--out", name}, name+".pub"
			}
			tokenVerb(t, exitOK, args...)
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			if _, says := tokenVerb(t, exitUsage, args...); !strings.Contains(says, "exists already") {
				t.Error(says)
			}
			token, _ := tokenVerb(t, exitOK, "token", "--key", name, "--alg", algorithm, "--user", "ann", "--expires", "10m",
				"--topic", "chat.>=subscribe, publish", "--topic", "a=b=history", "--info", `{ "name": "Ann" }`,
				"--issuer", "me", "--audience", "one", "--audience", "two", "--kid", "k1")
			a, err := auth.New(auth.Config{
				Keys: []auth.Key{{File: public, Algorithm: algorithm, ID: "k1", Issuer: "me"}}, Audience: []string{"two"}, SingleUse: true,
			}, auth.Options{})
			if err != nil {
				t.Fatal(err)
			}
			i, err := a.Authenticate(context.Background(), &auth.Attempt{Token: strings.TrimSpace(token)})
			if err != nil || i.User != "ann" || string(i.Info) != `{"name":"Ann"}` || len(i.Grants) != 2 ||
				i.Grants[0] != (hub.Grant{Pattern: "a=b", Actions: hub.ActHistory}) ||
				i.Grants[1] != (hub.Grant{Pattern: "chat.>", Actions: hub.ActSubscribe | hub.ActPublish}) {
				t.Errorf("got %+v, %v", i, err)
			}
			if left := time.Until(i.Expires); left > 10*time.Minute || left < 9*time.Minute {
				t.Errorf("it expires in %v", left)
			}
		})
	}
}

func TestTokenVerbRefuses(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "my.key")
	tokenVerb(t, exitOK, "token", "--new-keypair", "ed25519", "--out", name)
	good := []string{"token", "--key", name, "--user", "ann"}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"needs --key FILE and --user NAME", []string{"token"}},
		{"needs --key FILE and --user NAME", []string{"token", "--user", "ann"}},
		{"no such file", []string{"token", "--user", "ann", "--key", filepath.Join(folder, "missing")}},
		{"it holds no private key", []string{"token", "--user", "ann", "--key", name + ".pub"}},
		{"the key is one for EdDSA, not for HS256", append(good, "--alg", "HS256")},
		{"a user does not begin with ~", append(good, "--user", "~ann")},
		{"lives for at least 1s", append(good, "--expires=-1s")},
		{"chat.>=subscribe,publish", append(good, "--topic", "chat.>")},
		{`"fly" is none of subscribe`, append(good, "--topic", "chat.>=subscribe,fly")},
		{"> can only be the last part", append(good, "--topic", "chat.>.a=subscribe")},
		{"info: an object is needed", append(good, "--info", "[1]")},
		{"info: it is not JSON", append(good, "--info", "{")},
		{"a server takes at most 8192", append(good, "--audience", strings.Repeat("x", 8192))},
		{"two things", []string{"token", "--new-secret", "--new-keypair", "rsa"}},
		{"ed25519, p256 or rsa is needed", []string{"token", "--new-keypair", "dsa"}},
		{"the token is printed", append(good, "--out", "x")},
	} {
		if stdout, says := tokenVerb(t, exitUsage, c.args...); !strings.Contains(says, c.says) || stdout != "" {
			t.Errorf("%q: %q, %q", c.args, stdout, says)
		}
	}
	if token, _ := tokenVerb(t, exitOK, append(good, "--expires", "0")...); strings.Count(token, ".") != 2 {
		t.Errorf("for ever: %q", token)
	}
}

var fencedBlock = regexp.MustCompile("(?ms)^```(sh|yaml|json)\n(.*?)^```")

// TestDocumentedTokens does what docs/authentication.md says under "In five lines": keys, a server with that configuration, a token; and with
// what it shows as a token's claims.
func TestDocumentedTokens(t *testing.T) {
	text, err := os.ReadFile("../../docs/authentication.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, b := range fencedBlock.FindAllStringSubmatch(string(text), -1) {
		if _, has := blocks[b[1]]; !has {
			blocks[b[1]] = b[2]
		}
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("duplex.yaml", []byte(blocks["yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	var address, token string
	for line := range strings.Lines(blocks["sh"]) {
		args := strings.Fields(strings.TrimSuffix(strings.ReplaceAll(strings.TrimSpace(line), "'", ""), " &"))
		switch {
		case args[0] != "duplex":
			t.Fatalf("the page has the command %q", line)
		case args[1] == "serve":
			stdout, _ := startProgram(t, append(args[1:], "--listen", "127.0.0.1:0")...)
			address = strings.Replace(stdout.await(t, `(http://127\.0\.0\.1:\d+/)`), "http", "ws", 1) + "ws"
		default:
			token, _ = tokenVerb(t, exitOK, args[1:]...)
		}
	}
	enter := func(token string) string {
		t.Helper()
		conn := dialTest(t, address)
		if err := conn.Write(t.Context(), websocket.Text, fmt.Appendf(nil, `{"type":"connect","id":1,"token":%q}`, token)); err != nil {
			t.Fatal(err)
		}
		_, reply, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return string(reply)
	}
	if reply := enter(strings.TrimSpace(token)); !strings.Contains(reply, `"user":"ann"`) {
		t.Errorf("with the token: %s", reply)
	}
	if reply := enter(""); !strings.Contains(reply, "token-missing") {
		t.Errorf("without: %s", reply)
	}

	var claims struct {
		Subject string `json:"sub"`
		Info    json.RawMessage
		Topics  map[string][]string
		Exp     int64
		Iat     int64
	}
	decoder := json.NewDecoder(strings.NewReader(blocks["json"]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile("duplex.key")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := auth.Sign(secret, "", "", auth.Said{
		User: claims.Subject, Info: claims.Info, Topics: claims.Topics, Life: time.Duration(claims.Exp-claims.Iat) * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if reply := enter(signed); !strings.Contains(reply, `"user":"ann"`) {
		t.Errorf("with the claims of the page: %s", reply)
	}
}
