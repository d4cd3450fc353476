package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// write makes a configuration file and returns its name.
func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "duplex.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func load(t *testing.T, in Input) *Loaded {
	t.Helper()
	loaded, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestDefault(t *testing.T) {
	c := Default()
	if c.Listen != "127.0.0.1:8080" || c.Drain.Timeout != 10*time.Second || c.Limits.Frame != 1<<20 || c.Log.Level != "info" || !c.Metrics {
		t.Errorf("%+v", c)
	}
	if loaded := load(t, Input{}); !reflect.DeepEqual(loaded.Config, c) || len(loaded.Warnings) > 0 {
		t.Errorf("nothing set is not the default: %+v, %v", loaded.Config, loaded.Warnings)
	}
}

const whole = `
# everything, as somebody may write it
listen: ":9000"
tls:
  cert: server.pem
  key: "server.key"
insecure-anonymous: true
origins: [https://example.com, "https://*.example.org:*"]
proxies:
  - 10.0.0.0/8
  - 192.0.2.1
demo: off
drain: {timeout: 1m, rate: 50, retry: 2s}
log:
  level: debug
  format: json
limits:
  frame: 64KiB
  subscriptions: 10
  connections: 5
  commands-rate: 0.5
compression: takeover
metrics: false
admin:
  listen: 127.0.0.1:9001
topics:
  - pattern: chat.*
    history: &kept {messages: 100, age: 1h30m, bytes: 2MiB}
    presence: full
    publish: users
    rate: {publish: 5, burst: 10}
  - pattern: quotes.>
    history: *kept
    presence: off
    slow: {policy: latest, messages: 1, bytes: 4096}
tokens:
  keys:
    - {file: a.pem, algorithm: ES256, id: k1}
    - {file: secret, algorithm: HS256}
  audience: [duplex]
webhooks:
  publish: {url: https://app.example/publish, topics: [chat.>]}
  secret-file: hook
  max-response: 2MiB
api: {max-body: 100}
`

func TestFile(t *testing.T) {
	c := load(t, Input{File: write(t, whole)}).Config
	if c.Listen != ":9000" || c.TLS != (TLS{"server.pem", "server.key"}) || !c.InsecureAnonymous || c.Demo != "off" || c.Metrics || c.Admin.Listen != "127.0.0.1:9001" {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(c.Origins, []string{"https://example.com", "https://*.example.org:*"}) || len(c.ProxyNetworks()) != 2 {
		t.Errorf("%v, %v", c.Origins, c.ProxyNetworks())
	}
	if c.Drain != (Drain{0, time.Minute, 50, 2 * time.Second, 5 * time.Second}) || c.Log != (Log{"debug", "json"}) || c.Compression != "takeover" {
		t.Errorf("%+v, %+v", c.Drain, c.Log)
	}
	if c.Limits.Frame != 64<<10 || c.Limits.Subscriptions != 10 || c.Limits.Requests != 16 || c.Limits.CommandsRate != 0.5 {
		t.Errorf("%+v", c.Limits)
	}
	rules := c.Rules()
	want := []hub.Rule{
		{Pattern: "chat.*", TopicOptions: hub.TopicOptions{
			HistoryMessages: 100, HistoryAge: 90 * time.Minute, HistoryBytes: 2 << 20, Presence: hub.PresenceFull, Publish: hub.Users,
			PublishRate: 5, PublishBurst: 10, MaxBytes: 64 << 10, Window: 2 * time.Minute, WindowIDs: 10_000, SlowMessages: 256, SlowBytes: 1 << 20,
		}},
		{Pattern: "quotes.>", TopicOptions: hub.TopicOptions{
			HistoryMessages: 100, HistoryAge: 90 * time.Minute, HistoryBytes: 2 << 20,
			MaxBytes: 64 << 10, Window: 2 * time.Minute, WindowIDs: 10_000, Slow: hub.SlowLatest, SlowMessages: 1, SlowBytes: 4096,
		}},
	}
	if !reflect.DeepEqual(rules, want) {
		t.Errorf("rules:\n%+v\nwant\n%+v", rules, want)
	}
}

// TestPrecedence: a flag wins over the environment, that over the file, and that over the default.
func TestPrecedence(t *testing.T) {
	file := write(t, "drain: {timeout: 1s}\norigins: [http://file.example]\n")
	env := []string{"DUPLEX_DRAIN_TIMEOUT=2s", "DUPLEX_ORIGINS=http://env.example, http://second.example", "PATH=/bin", "DUPLEX_LOG_LEVEL="}
	flags := map[string][]string{"drain-timeout": {"3s"}, "origins": {"http://flag.example", "http://other.example"}}
	for _, c := range []struct {
		name    string
		in      Input
		timeout time.Duration
		origins int
		source  string
	}{
		{"default", Input{}, 10 * time.Second, 0, "default"},
		{"file", Input{File: file}, time.Second, 1, file + ":1"},
		{"environment", Input{File: file, Environ: env}, 2 * time.Second, 2, "DUPLEX_DRAIN_TIMEOUT"},
		{"flag", Input{File: file, Environ: env, Flags: flags}, 3 * time.Second, 2, "--drain-timeout"},
	} {
		l := load(t, c.in)
		if l.Drain.Timeout != c.timeout || len(l.Origins) != c.origins || l.source("drain.timeout") != c.source || l.Log.Level != "info" {
			t.Errorf("%s: %v, %v, from %s", c.name, l.Drain.Timeout, l.Origins, l.source("drain.timeout"))
		}
	}
}

// TestMistakes: each says where it is, what is wrong and what would be right.
func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		name, file string
		says       []string // in this order, one problem each
	}{
		{"unknown key", "listen: :80\ndrian: {timeout: 1s}\n", []string{`duplex.yaml:2: there is no key "drian"; did you mean drain?`}},
		{"unknown key in a group", "drain:\n  timeuot: 1s\n", []string{`duplex.yaml:2: drain: there is no key "timeuot"; did you mean timeout?`}},
		{"unknown key in a topic", "topics:\n- pattern: a\n  histroy: {}\n", []string{`duplex.yaml:3: topics[0]: there is no key "histroy"; did you mean history?`}},
		{"key of another group", "subscriptions: 3\n", []string{`duplex.yaml:1: there is no key "subscriptions" here; did you mean limits.subscriptions?`}},
		{"the flag as a key", "drain-timeout: 3s\n", []string{`did you mean drain.timeout?`}},
		{"key like no other", "log:\n  xylophone: 1\n", []string{`duplex.yaml:2: log: there is no key "xylophone"; there are: level, format`}},
		{"merge key", "log:\n  <<: {level: info}\n", []string{`there is no key "<<"`}},
		{"twice", "log: {}\nlisten: :80\nlog: {}\n", []string{"duplex.yaml:3: log: this key is there twice; the first is in line 1"}},
		{"duration", "drain: {timeout: 10}\n", []string{`duplex.yaml:1: drain.timeout: "10" is not a duration; write a number with its unit, such as 500ms, 10s or 2m`}},
		{"negative", "drain: {timeout: -1s}\n", []string{`drain.timeout: -1s is out of range; it must be at least 0s`}},
		{"size", "limits: {frame: 1MB}\n", []string{`limits.frame: "1MB" is not a size; write bytes, or a number with KiB, MiB or GiB, such as 64KiB`}},
		{"huge size", "limits: {frame: 9999999999GiB}\n", []string{`"9999999999GiB" is too large`}},
		{"size out of range", "limits: {frame: 1GiB}\n", []string{"limits.frame: 1GiB is out of range; it must be at most 256MiB"}},
		{"whole number", "limits: {requests: many}\n", []string{`limits.requests: "many" is not a whole number`}},
		{"huge number", "limits: {requests: 99999999999999999999}\n", []string{`is not a whole number of a size that can be used`}},
		{"number", "limits: {commands-rate: .nan}\n", []string{`limits.commands-rate: ".nan" is not a number`}},
		{"bool", "metrics: yes\n", []string{`metrics: "yes" is neither true nor false`}},
		{"enum", "log: {level: warning}\n", []string{`log.level: "warning" is not one of debug, info, warn and error; did you mean warn?`}},
		{"enum like no other", "log: {format: xml-document}\n", []string{`log.format: "xml-document" is not one of text and json`}},
		{"list for a value", "listen: [a, b]\n", []string{"listen: a value is expected here, not a list"}},
		{"value for a group", "drain: 10s\n", []string{`drain: keys are expected here (delay, timeout, rate, retry, spread), not "10s"`}},
		{"list at the top", "- listen\n", []string{"not a list"}},
		{"keys for objects", "topics:\n  chat.*: {}\n", []string{"duplex.yaml:2: topics: a list is expected here, each entry beginning with a dash, not keys with values"}},
		{"keys in a list", "origins: [{a: b}]\n", []string{"origins: a list of values is expected here, but one of them is keys with values"}},
		{"no YAML", "a: [1\nb: 2\n", []string{"duplex.yaml:2: this is not YAML: did not find expected"}},
		{"tabs", "log:\n\tlevel: info\n", []string{"duplex.yaml:2: this is not YAML"}},
		{"two documents", "listen: :80\n---\nlisten: :81\n", []string{"duplex.yaml:2: this is not YAML: a second document begins"}},
		{"unknown alias", "log: *x\n", []string{"duplex.yaml:1: this is not YAML: unknown anchor"}},
		{"recursive alias", "log: &a {level: *a}\n", []string{"log.level: a value is expected here, not keys with values"}},
		{"address", "listen: localhost\n", []string{`duplex.yaml:1: listen: "localhost" is not an address to listen on; write host:port`}},
		{"port", "admin: {listen: 'localhost:web'}\n", []string{`admin.listen: "web" is not a port; write a number from 1 to 65535`}},
		{"certificate alone", "tls: {cert: a.pem}\n", []string{"duplex.yaml:1: tls.cert: a certificate needs its key; give tls.key (--tls-key) too"}},
		{"key alone", "tls: {key: a.pem}\n", []string{"tls.key: a key needs its certificate"}},
		{"origin without scheme", "origins: [example.com]\n", []string{`duplex.yaml:1: origins: the origin "example.com": the scheme is missing; write https://example.com`}},
		{"any origin", "origins: ['*']\n", []string{"it would let every website act as its visitors"}},
		{"proxy", "proxies: [nginx]\n", []string{`proxies: "nginx" is neither an address nor a network; write for instance 10.0.0.7 or 10.0.0.0/8`}},
		{"topic without pattern", "topics:\n- presence: full\n", []string{"duplex.yaml:2: topics[0]: it has no pattern"}},
		{"bad pattern", "topics:\n- pattern: a\n- pattern: a.>.b\n", []string{`duplex.yaml:3: topics[1].pattern: "a.>.b": > can only be the last part`}},
		{"zero window", "topics: [{pattern: a, window: 0s}]\n", []string{"topics[0].window: 0s is out of range; it must be at least 1ms"}},
		{"parts of others", "tokens:\n  keys:\n  - file: a\n  leeway: 1h\nwebhooks: {request: {url: 'http://b.example'}}\n", []string{
			"duplex.yaml:4: tokens.leeway: 1h is out of range; it must be at most 10m",
			"duplex.yaml:3: tokens.keys[0].algorithm: one of HS256", `duplex.yaml:5: webhooks.request.url: "http://b.example" can be read`,
			"webhooks.secret-file: is needed",
		}},
		{"a secret is not shown", "api: {keys: [open sesame, 12345678901234567890]}\n", []string{"duplex.yaml:1: api.keys[0]: a key has 20 to 255 characters"}},
		{"both", "data: d\nnats: [nats://a:4222]\n", []string{"duplex.yaml:2: nats: there is data ("}},
		{"address of NATS", "nats: [a.example, 'http://a:80', 'nats://:4222']\n", []string{
			`duplex.yaml:1: nats: "a.example" is not the address of a NATS server; write for instance nats://10.0.0.7:4222`, `"http://a:80" is not`, `"nats://:4222" is not`,
		}},
		{"password in the address", "nats: ['nats://me:sesame@a:4222']\n", []string{"duplex.yaml:1: nats: an address has neither user nor password, as others see it; give bus.user and bus.password-file"}},
		{"user alone", "nats: [nats://a:4222]\nbus: {user: me}\n", []string{"duplex.yaml:2: bus.user: a user needs a password; give bus.password-file (--bus-password-file) too"}},
		{"password alone", "nats: [nats://a:4222]\nbus: {password-file: p}\n", []string{"bus.password-file: a password needs its user"}},
		{"credentials twice", "nats: [nats://a:4222]\nbus:\n  credentials-file: c\n  user: me\n  password-file: p\n", []string{"duplex.yaml:4: bus.user: there are credentials ("}},
		{"certificate for NATS without key", "nats: [tls://a:4222]\nbus: {cert: c}\n", []string{"bus.cert: a certificate needs its key; give bus.key (--bus-key) too"}},
		{"name of the bus", "bus: {name: a.b}\n", []string{`duplex.yaml:1: bus.name: "a.b" is not a name; write up to 32 letters, digits, - and _`}},
		{"sync", "data: d\nbus: {sync: sometimes}\n", []string{`bus.sync: "sometimes" is neither always, auto nor a duration such as 1s`}},
		{"seldom", "data: d\nbus: {sync: 1h}\n", []string{"bus.sync: 1h is out of range; it must be at least 100ms and at most 10m, or always"}},
		{"message too large for the bus", "data: d\ntopics: [{pattern: a, max-bytes: 64MiB}]\n", []string{"topics[0].max-bytes: with data or nats a message has at most 48MiB"}},
		{"of no use", "node: a\nbus: {ca: f, replicas: 3}\n", []string{"node: it needs cluster (--cluster)", "bus.ca: it needs nats (--nats)", "bus.replicas: it needs data (--data) with cluster, or nats"}},
		{"copies alone", "data: d\nbus: {replicas: 3}\n", []string{"bus.replicas: 3 copies need as many servers, and there are 1"}},
		{"cluster without data", "cluster: [a=localhost:1, b=localhost:2, c=localhost:3]\nnode: a\n", []string{"duplex.yaml:1: cluster: it needs data (--data), a directory"}},
		{"cluster of NATS", "cluster: [a=localhost:1, b=localhost:2, c=localhost:3]\nnode: a\nnats: [nats://a:4222]\n", []string{"cluster: it needs data (--data) instead of nats"}},
		{"cluster of one", "data: d\ncluster: [a=localhost:1]\nnode: a\n", []string{"cluster: a cluster has 2 to 32 servers; name all of them, this one too"}},
		{"cluster without node", "data: d\ncluster: [a=localhost:1, b=localhost:2, c=localhost:3]\n", []string{"duplex.yaml:2: cluster: which of them is this server? give node (--node), one of: a, b, c"}},
		{"cluster of others", "data: d\ncluster: [a=localhost:1, b=localhost:2, c=localhost:3]\nnode: d\n", []string{`duplex.yaml:3: node: "d" is none of the servers of the cluster; there are: a, b, c`}},
		{"no server of a cluster", "data: d\ncluster: [a=localhost:1, localhost:2, c=localhost:3]\nnode: a\n", []string{`cluster: "localhost:2" is not a server of a cluster; write NAME=HOST:PORT`}},
		{"no port of a cluster", "data: d\ncluster: [a=localhost:1, b=localhost, c=localhost:3]\nnode: a\n", []string{`cluster: "b=localhost" is not a server of a cluster`}},
		{"one address twice", "data: d\ncluster: [a=localhost:1, b=localhost:1, c=localhost:3]\nnode: a\n", []string{"cluster: b=localhost:1 has its name or its address in common with another server"}},
		{"cluster without secret", "data: d\ncluster: [a=10.0.0.7:1, b=10.0.0.8:1, c=10.0.0.9:1]\nnode: a\n", []string{
			"duplex.yaml:2: cluster: whoever can reach 10.0.0.7:1 would be one of the servers; give bus.cluster-secret-file (--bus-cluster-secret-file), the same secret on each",
		}},
		{"cluster with half of TLS", "data: d\ncluster: ['a=[::1]:1', 'b=[::1]:2', 'c=[::1]:3']\nnode: a\nbus: {cluster-cert: c, cluster-key: k}\n", []string{
			"bus.cluster-cert: with TLS every server shows a certificate to every other: bus.cluster-cert, bus.cluster-key and bus.cluster-ca belong together",
		}},
		{"several", "lisen: :80\nlog: {level: loud}\ntls: {cert: a}\n", []string{
			"duplex.yaml:1: there is no key \"lisen\"; did you mean listen?", "duplex.yaml:2: log.level", "duplex.yaml:3: tls.cert",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(Input{File: write(t, c.file)})
			wrong, ok := errors.AsType[*Error](err)
			if !ok || len(wrong.Problems) != len(c.says) {
				t.Fatalf("%v, want %d problems", err, len(c.says))
			}
			for i, want := range c.says {
				if got := wrong.Problems[i].String(); !strings.Contains(got, want) || strings.Contains(got, "sesame") {
					t.Errorf("%q does not say %q", got, want)
				}
			}
			if len(c.says) > 1 && !strings.HasPrefix(err.Error(), fmt.Sprintf("the configuration has %d mistakes:\n  ", len(c.says))) {
				t.Errorf("%q", err)
			}
		})
	}
}

// TestBus: what follows from the settings of the bus, and what is only odd.
func TestBus(t *testing.T) {
	const cluster = "data: d\nnode: a\ncluster: [a=localhost:1, b=localhost:2, c=localhost:3"
	for _, c := range []struct {
		file     string
		durable  bool
		replicas int
		always   bool
		every    time.Duration
		warnings int
	}{
		{"", false, 1, false, time.Second, 0},
		{"data: d\n", true, 1, false, time.Second, 0},
		{"data: d\nbus: {sync: always}\n", true, 1, true, 0, 0},
		{"data: d\nbus: {sync: 1m}\n", true, 1, false, time.Minute, 0},
		{"nats: [nats://a.example, 'tls://[::1]:4222']\nbus: {replicas: 3}\n", true, 3, false, time.Second, 0},
		{cluster + "]\n", true, 3, true, time.Second, 0},
		{cluster + ", d=localhost:4, e=localhost:5]\nbus: {replicas: 5, sync: 200ms}\n", true, 5, false, 200 * time.Millisecond, 0},
		{"data: d\nnode: a\ncluster: [a=localhost:1, b=localhost:2]\n", true, 2, true, time.Second, 1},
		{"data: d\nnode: a\ncluster: [a=n1:1, b=n2:1, c=n3:1]\nbus: {cluster-secret-file: s}\n", true, 3, true, time.Second, 0},
	} {
		l := load(t, Input{File: write(t, c.file)})
		always, every := l.SyncAlways()
		if l.Durable() != c.durable || l.Replicas() != c.replicas || always != c.always || !always && every != c.every || len(l.Warnings) != c.warnings {
			t.Errorf("%q: %v, %d, %v, %v, %q", c.file, l.Durable(), l.Replicas(), always, every, l.Warnings)
		}
	}
	peers := load(t, Input{Flags: map[string][]string{"data": {"d"}, "node": {"a"}, "cluster": {"a=localhost:1", "b=localhost:2", "c=localhost:3"}}}).Peers()
	if !slices.Equal(peers, []Peer{{"a", "localhost:1"}, {"b", "localhost:2"}, {"c", "localhost:3"}}) {
		t.Errorf("%q", peers)
	}
}

func TestMistakesElsewhere(t *testing.T) {
	_, err := Load(Input{
		File: write(t, "log: {level: info}"), Environ: []string{"DUPLEX_DRAIN_RATE=fast"},
		Flags: map[string][]string{"log-level": {"loud"}, "tls-cert": {"a.pem"}, "fly": {"high"}},
	})
	for _, want := range []string{
		`DUPLEX_DRAIN_RATE: "fast" is not a whole number`, `--log-level: "loud" is not one of`,
		"--tls-cert: tls.cert: a certificate needs its key", "--fly: there is no such setting",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := Load(Input{File: missing}); err == nil || err.Error() != missing+": the configuration cannot be read: no such file or directory" {
		t.Error(err)
	}
	if _, err := Load(Input{File: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Error(err)
	}
	large := write(t, strings.Repeat("# what is this\n", maxFile/10))
	if _, err := Load(Input{File: large}); err == nil || !strings.Contains(err.Error(), "more than 1MiB") {
		t.Error(err)
	}
}

func TestWarnings(t *testing.T) {
	l := load(t, Input{
		File: write(t, "topics:\n- pattern: chat.>\n- pattern: chat.lobby\n- pattern: other\n"),
		Environ: []string{"DUPLEX_DRIAN_RATE=1", "DUPLEX_XXXXXXXXXXXXXXXXXXXXXXXXXXXX=1", "DUPLEX_CONFIG=x", "DUPLEX_PORT=tcp://10.0.0.1:80",
			"DUPLEX_SERVICE_HOST=10.0.0.1", "HOME=/x"},
	})
	want := []string{"DUPLEX_DRIAN_RATE in the environment is not a setting; did you mean DUPLEX_DRAIN_RATE?", "is not a setting", "chat.lobby never holds, as chat.> ("}
	if len(l.Warnings) != len(want) {
		t.Fatalf("%q", l.Warnings)
	}
	for i, part := range want {
		if !strings.Contains(l.Warnings[i], part) {
			t.Errorf("%q does not say %q", l.Warnings[i], part)
		}
	}
}

func TestEmptyFiles(t *testing.T) {
	for _, content := range []string{"", "# nothing\n", "---\n", "drain:\nlisten:\ntopics:\norigins:\n"} {
		if l := load(t, Input{File: write(t, content)}); !reflect.DeepEqual(l.Config, Default()) {
			t.Errorf("%q gives %+v", content, l.Config)
		}
	}
}

// TestPrint: what is printed is a configuration file that means the same, and says where everything came from.
func TestPrint(t *testing.T) {
	for _, content := range []string{"", whole} {
		file := write(t, content)
		first := load(t, Input{File: file, Flags: map[string][]string{"drain-rate": {"7"}}})
		var out strings.Builder
		if err := first.Print(&out); err != nil {
			t.Fatal(err)
		}
		second := load(t, Input{File: write(t, out.String())})
		if paths, _ := Changes(first.Config, second.Config); len(paths) > 0 {
			t.Errorf("%q is lost in\n%s", paths, out.String())
		}
		for _, want := range []string{"rate: 7 # --drain-rate\n", "requests: 16 # default\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is not in\n%s", want, out.String())
			}
		}
		if content == whole && !strings.Contains(out.String(), "level: debug # "+file+":15\n") {
			t.Errorf("no lines in\n%s", out.String())
		}
	}
}

// TestSecrets are shown neither when printed nor in an error, and are no flags.
func TestSecrets(t *testing.T) {
	l := load(t, Input{Environ: []string{"DUPLEX_API_KEYS=this-is-very-secret-indeed"}})
	var out strings.Builder
	if err := l.Print(&out); err != nil || strings.Contains(out.String(), "very-secret") || !strings.Contains(out.String(), "keys: [(secret)] # DUPLEX_API_KEYS\n") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	if _, err := Load(Input{Flags: map[string][]string{"api-keys": {"this-is-very-secret-indeed"}}}); err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Error(err)
	}
}

func TestChanges(t *testing.T) {
	file := write(t, whole)
	was := load(t, Input{File: file})
	if err := os.WriteFile(file, []byte(strings.NewReplacer("listen: \":9000\"", "listen: :9001", "debug", "warn", "messages: 100", "messages: 200").Replace(whole)), 0o600); err != nil {
		t.Fatal(err)
	}
	is, err := was.Reload()
	if err != nil {
		t.Fatal(err)
	}
	paths, restart := Changes(was.Config, is.Config)
	if !slices.Equal(paths, []string{"listen", "log.level", "topics"}) || !slices.Equal(restart, []string{"listen"}) {
		t.Errorf("%q, %q", paths, restart)
	}
	is.Origins, was.Origins = nil, []string{}
	if paths, _ := Changes(was.Config, is.Config); slices.Contains(paths, "origins") {
		t.Error("an empty list differs from none")
	}
}

// TestSettings: every setting has help and a name of its own in each of its forms, and values print as they are read.
func TestSettings(t *testing.T) {
	flags, envs := map[string]bool{"config": true, "help": true}, map[string]bool{"DUPLEX_CONFIG": true}
	for _, s := range Settings() {
		if s.Help == "" || !strings.HasSuffix(s.Help, ".") || flags[s.Flag()] || envs[s.Env()] {
			t.Errorf("%+v", s)
		}
		flags[s.Flag()], envs[s.Env()] = true, true
	}
	if !flags["tls-cert"] || !flags["drain-timeout"] || !envs["DUPLEX_LIMITS_CONNECTIONS_PER_ADDRESS"] {
		t.Errorf("%v, %v", flags, envs)
	}
	var checkHelp func(f *field)
	checkHelp = func(f *field) {
		for _, c := range f.fields {
			if !c.isGroup() && !strings.HasSuffix(c.help, ".") {
				t.Errorf("%s has no help", c.path)
			}
			checkHelp(c)
		}
	}
	checkHelp(schema)
	schema.eachValue(reflect.ValueOf(Default()).Elem(), func(f *field, v reflect.Value) {
		if f.initial != "" && f.format(v) != f.initial {
			t.Errorf("%s: the default %s prints as %s", f.path, f.initial, f.format(v))
		}
	})
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1": 1, "512B": 512, "64KiB": 64 << 10, "1 MiB": 1 << 20, "3GiB": 3 << 30} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for size, want := range map[Size]string{0: "0", 1: "1", 1024: "1KiB", 1025: "1025", 64 << 20: "64MiB", 1 << 40: "1024GiB"} {
		if size.String() != want {
			t.Errorf("%d prints as %s", size, size)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1kb", "9223372036854775808"} {
		if _, err := ParseSize(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// TestExamples: what the documentation shows is a configuration.
func TestExamples(t *testing.T) {
	found := 0
	for _, name := range []string{"configuration.md", "operations.md", "authentication.md", "webhooks.md", "http-api.md"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllSubmatch(content, -1) {
			example := string(block[1])
			if strings.Contains(example, "not of duplex.yaml") {
				continue
			}
			found++
			if _, err := Load(Input{File: write(t, example)}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d examples", found)
	}
}

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// TestReference: the tables of the documentation are those of the schema. go test ./internal/server/config -update writes them.
func TestReference(t *testing.T) {
	const name, begin, end = "../../../docs/configuration.md", "<!-- settings: written by the tests of internal/server/config -->\n", "<!-- end of settings -->\n"
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	_, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		t.Fatalf("%s has no place for the settings", name)
	}
	want := before + begin + "\n" + Reference() + "\n" + end + after
	if want == string(content) {
		return
	}
	if !*update {
		t.Fatalf("%s is not current: run go test ./internal/server/config -run TestReference -update", name)
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
