package natsserver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

func begin(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := tryBegin(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryBegin(t *testing.T, o Options) (*Server, error) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := Start(ctx, o)
	if err == nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

// kill ends a server as if its process were gone: what it has not written is lost, and nothing says that it has ended.
func kill(t *testing.T, s *Server) {
	t.Helper()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	<-s.watched
	s.natsLog.hush()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	if err := s.dir.close(false); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, s *Server) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// eventually repeats f until it succeeds.
func eventually(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := f(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(pollEvery)
	}
}

func makeStream(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	eventually(t, "a stream", func(ctx context.Context) error {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "s", Subjects: []string{"s.>"}, Replicas: replicas})
		return err
	})
}

func publish(t *testing.T, js jetstream.JetStream, text string) {
	t.Helper()
	eventually(t, "publishing", func(ctx context.Context) error {
		_, err := js.Publish(ctx, "s.a", []byte(text), jetstream.WithMsgID(text))
		return err
	})
}

func lastMessage(ctx context.Context, js jetstream.JetStream) (string, error) {
	stream, err := js.Stream(ctx, "s")
	if err != nil {
		return "", err
	}
	m, err := stream.GetLastMsgForSubject(ctx, "s.a")
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}

func expectLast(t *testing.T, js jetstream.JetStream, want string) {
	t.Helper()
	eventually(t, "reading", func(ctx context.Context) error {
		got, err := lastMessage(ctx, js)
		if err == nil && got != want {
			err = fmt.Errorf("the last message is %q, not %q", got, want)
		}
		return err
	})
}

// TestAlone: what is stored outlives a clean end and one that is not, no port is open, and the folder is not shared.
func TestAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first := begin(t, Options{Dir: dir})
	if first.Suspect() {
		t.Error("a new directory is suspect")
	}
	if first.nats.Addr() != nil || first.nats.ClusterAddr() != nil || first.nats.MonitorAddr() != nil {
		t.Errorf("a port is open: %v, %v, %v", first.nats.Addr(), first.nats.ClusterAddr(), first.nats.MonitorAddr())
	}
	js := connect(t, first)
	makeStream(t, js, 1)
	publish(t, js, "one")
	if u := first.Usage(); u.Bytes == 0 || u.Limit < u.Bytes {
		t.Errorf("%+v", u)
	}
	if _, err := tryBegin(t, Options{Dir: dir}); err == nil ||
		!strings.Contains(err.Error(), dir+" is in use by another server (process "+fmt.Sprint(os.Getpid())+")") {
		t.Errorf("a second server: %v", err)
	}
	kill(t, first)

	second := begin(t, Options{Dir: dir})
	if second.Suspect() {
		t.Error("the process ended, not the machine")
	}
	js = connect(t, second)
	expectLast(t, js, "one")
	publish(t, js, "two")
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.InProcessConn(); !errors.Is(err, errStopped) {
		t.Error(err)
	}
	third := begin(t, Options{Dir: dir, SyncAlways: true})
	expectLast(t, connect(t, third), "two")
	if err := third.Ready(); err != nil {
		t.Error(err)
	}
}

// TestRecovery: a nats-server that has given up storing messages starts again by itself, in whichever way it has.
func TestRecovery(t *testing.T) {
	for name, fail := range map[string]func(*Server) error{
		"it stops JetStream": func(s *Server) error { return s.nats.ShutdownJetStream() },
		"it only says so": func(s *Server) error {
			s.natsLog.Errorf("JetStream failed to store a msg on stream '%s > %s': %v", "$G", "s", errors.New("no space left on device"))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, Options{Dir: t.TempDir()})
			js := connect(t, s)
			makeStream(t, js, 1)
			publish(t, js, "one")
			before := s.nats
			if err := fail(s); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a new start", func(context.Context) error {
				if now := s.current(); now == nil || now == before {
					return cmp.Or(s.Ready(), errors.New("nobody has noticed"))
				}
				return s.Ready()
			})
			publish(t, js, "two")
			expectLast(t, js, "two")
		})
	}
}

// freeAddresses returns addresses of this machine that are free now; somebody else may take them, which whoever uses them must expect.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// beginCluster starts three nodes at once.
func beginCluster(t *testing.T, change func(*Options)) ([]*Server, []Options) {
	t.Helper()
	for {
		addresses := freeAddresses(t, 3)
		peers := []Peer{{"a", addresses[0]}, {"b", addresses[1]}, {"c", addresses[2]}}
		servers, options, errs := make([]*Server, 3), make([]Options, 3), make([]error, 3)
		var wg sync.WaitGroup
		for i, p := range peers {
			options[i] = Options{Dir: t.TempDir(), Cluster: peers, Node: p.Name}
			if change != nil {
				change(&options[i])
			}
			wg.Go(func() { servers[i], errs[i] = tryBegin(t, options[i]) })
		}
		wg.Wait()
		err := errors.Join(errs...)
		if err == nil {
			return servers, options
		}
		if !strings.Contains(err.Error(), "address already in use") {
			t.Fatal(err)
		}
		for _, s := range servers {
			if s != nil {
				_ = s.Close()
			}
		}
	}
}

// TestCluster: three nodes have one stream, which outlives each of them, and a node that comes back has it too.
func TestCluster(t *testing.T) {
	secret := func(o *Options) { o.Secret = []byte("$2a$ / a secret: of @ny bytes\n") }
	servers, options := beginCluster(t, secret)
	for _, s := range servers {
		if s.nats.Addr() != nil {
			t.Errorf("a port for clients is open: %v", s.nats.Addr())
		}
	}
	js := connect(t, servers[0])
	makeStream(t, js, 3)
	publish(t, js, "one")
	for _, s := range servers {
		expectLast(t, connect(t, s), "one")
	}
	leader := leaderOf(t, servers)
	other := (leader + 1) % 3
	if err := servers[leader].Close(); err != nil {
		t.Fatal(err)
	}
	js = connect(t, servers[other])
	began := time.Now()
	publish(t, js, "two")
	t.Logf("after a leader has left, publishing took %v", time.Since(began))
	servers[leader] = begin(t, options[leader])
	if servers[leader].Suspect() {
		t.Error("it ended cleanly")
	}
	expectLast(t, connect(t, servers[leader]), "two")

	leader = leaderOf(t, servers)
	kill(t, servers[leader])
	publish(t, connect(t, servers[(leader+1)%3]), "three")
	expectLast(t, connect(t, servers[(leader+2)%3]), "three")

	// Its disk is lost too: a new one is filled by the others, and then does in the place of one of them.
	options[leader].Dir = t.TempDir()
	servers[leader] = begin(t, options[leader])
	js = connect(t, servers[leader])
	awaitCopies(t, js)
	kill(t, servers[(leader+1)%3])
	expectLast(t, js, "three")
	publish(t, js, "four")
}

// awaitCopies waits until every node of the stream has all of it.
func awaitCopies(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	eventually(t, "copies", func(ctx context.Context) error {
		stream, err := js.Stream(ctx, "s")
		if err != nil {
			return err
		}
		for _, r := range stream.CachedInfo().Cluster.Replicas {
			if !r.Current {
				return fmt.Errorf("%s has not all of it", r.Name)
			}
		}
		return nil
	})
}

func leaderOf(t *testing.T, servers []*Server) (leader int) {
	t.Helper()
	eventually(t, "a leader", func(context.Context) error {
		for i, s := range servers {
			if s.nats.JetStreamIsStreamLeader("$G", "s") {
				leader = i
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return leader
}

// TestStranger: a node without the secret is not let in, and says what it waits for.
func TestStranger(t *testing.T) {
	servers, options := beginCluster(t, func(o *Options) { o.Secret = []byte("right") })
	if err := servers[2].Close(); err != nil {
		t.Fatal(err)
	}
	o := options[2]
	o.Dir, o.Secret, o.StartTimeout = t.TempDir(), []byte("wrong"), 2*time.Second
	_, err := tryBegin(t, o)
	want := fmt.Sprintf("the cluster has no leader after 2s: there is no connection with a=%s and b=%s", o.Cluster[0].Address, o.Cluster[1].Address)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
	o.StartTimeout = 0
	ctx, cancel := context.WithCancel(t.Context())
	waiting := newWatchedLog("Authorization")
	o.Logger = slog.New(slog.NewTextHandler(waiting, nil))
	go func() {
		<-waiting.seen
		cancel()
	}()
	if _, err := Start(ctx, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// watchedLog tells when a text is logged.
type watchedLog struct {
	text string
	seen chan struct{}
	once sync.Once
}

func newWatchedLog(text string) *watchedLog {
	return &watchedLog{text: text, seen: make(chan struct{})}
}

func (w *watchedLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.text)) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

var _ io.Writer = (*watchedLog)(nil)

// TestRefusals: each says what is wrong.
func TestRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	local := []Peer{{"a", "127.0.0.1:1"}, {"b", "127.0.0.1:2"}}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says    string
		options Options
	}{
		{"Dir is required", Options{}},
		{"cannot be made: ", Options{Dir: file}},
		{"a part of this path is a file", Options{Dir: filepath.Join(file, "data")}},
		{"two nodes or more", Options{Dir: t.TempDir(), Cluster: local[:1], Node: "a"}},
		{`"c" is none of the nodes`, Options{Dir: t.TempDir(), Cluster: local, Node: "c"}},
		{"shares its name", Options{Dir: t.TempDir(), Cluster: []Peer{local[0], {"a", "127.0.0.1:3"}}, Node: "a"}},
		{"not the name of a node", Options{Dir: t.TempDir(), Cluster: []Peer{local[0], {"b b", "127.0.0.1:3"}}, Node: "a"}},
		{"not the address of a node", Options{Dir: t.TempDir(), Cluster: []Peer{local[0], {"b", "127.0.0.1"}}, Node: "a"}},
		{"whoever can reach 10.0.0.7:6222 would be a node", Options{Dir: t.TempDir(), Cluster: []Peer{local[0], {"b", "10.0.0.7:6222"}}, Node: "a"}},
		{"address already in use; its address in the cluster, " + taken.Addr().String(),
			Options{Dir: t.TempDir(), Cluster: []Peer{{"a", taken.Addr().String()}, local[1]}, Node: "a"}},
	} {
		if _, err := tryBegin(t, c.options); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v does not say %q", err, c.says)
		}
	}
}

// TestOptionsOfNATS holds nats-server to what this package relies on.
func TestOptionsOfNATS(t *testing.T) {
	o := Options{Dir: "d", Node: "a", Cluster: []Peer{{"a", "[::1]:7"}, {"b", "localhost:8"}}, Secret: []byte("x")}
	n := o.nats()
	if n.Cluster.Host != "::1" || n.Cluster.Port != 7 || len(n.Routes) != 2 || n.Routes[1].User == nil || n.Cluster.Password == "x" {
		t.Errorf("%+v", n.Cluster)
	}
	if _, err := server.NewServer(n); err != nil {
		t.Error(err)
	}
	for _, p := range o.Cluster {
		if !p.IsLoopback() {
			t.Errorf("%v is not loopback", p)
		}
	}
}
