package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// freeAddresses returns addresses that are free now.
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

// member is one of three servers.
type member struct {
	*process
	flags  []string
	server string // address of its sessions
}

// startCluster starts three servers that find each other, with other ports if somebody has taken one of theirs.
func startCluster(t *testing.T) []*member {
	t.Helper()
	folder := t.TempDir()
	for try := 0; ; try++ {
		at := freeAddresses(t, 3)
		cluster := fmt.Sprintf("a=%s,b=%s,c=%s", at[0], at[1], at[2])
		members := make([]*member, 3)
		for i, name := range []string{"a", "b", "c"} {
			data := filepath.Join(folder, fmt.Sprint(name, try))
			m := &member{flags: []string{"serve", "--listen", "127.0.0.1:0", "--data", data, "--cluster", cluster, "--node", name}}
			m.process = startProcess(t, nil, m.flags...)
			members[i] = m
		}
		if awaitMembers(t, members) {
			return members
		}
	}
}

// awaitMembers waits for all of them; not, if an address was taken.
func awaitMembers(t *testing.T, members []*member) bool {
	t.Helper()
	for _, m := range members {
		server, err := m.sessions()
		if err == nil {
			m.server = server
			continue
		}
		if !strings.Contains(err.Error(), "address already in use") {
			t.Fatal(err)
		}
		for _, m := range members {
			_ = m.Process.Kill()
		}
		return false
	}
	return true
}

// TestClusterOfServers: what is published at one server reaches subscribers at the others, the loss of any one is borne, and who comes
// back has all that was kept.
func TestClusterOfServers(t *testing.T) {
	members := startCluster(t)
	subscribers := make([]*process, 3)
	for i, m := range members {
		subscribers[i] = startProcess(t, nil, "sub", "chat.lobby", "--last", "10", "--server", m.server)
	}
	for i, m := range members {
		publishTo(t, m.server, "chat.lobby", fmt.Sprintf(`"from %d"`, i))
	}
	for _, s := range subscribers {
		for i := range members {
			awaitLong(t, s.stdout, fmt.Sprintf(`"data":("from %d")`, i))
		}
	}
	members[0].kill() // perhaps the leader
	publishTo(t, members[1].server, "chat.lobby", `"two are left"`)
	awaitLong(t, subscribers[2].stdout, `"data":("two are left")`)

	members[0].process = startProcess(t, nil, members[0].flags...)
	members[0].server = sessionsOf(t, members[0].process)
	want, _ := runProgram(t, exitOK, "history", "chat.lobby", "--server", members[1].server)
	if got, _ := runProgram(t, exitOK, "history", "chat.lobby", "--server", members[0].server); got != want || strings.Count(got, "\n") != 4 {
		t.Errorf("the history is\n%s\nat one server and\n%s\nat another", got, want)
	}
	for _, m := range members {
		m.signal(syscall.SIGTERM)
	}
	for _, m := range members {
		if code := m.end(); code != exitOK {
			t.Errorf("exit code %d: %s", code, m.stderr)
		}
	}
}
