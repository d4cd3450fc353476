package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bus is what keeps messages and carries them between servers, with data, nats or cluster.
type Bus struct {
	Name           string        `yaml:"name" default:"duplex" help:"Servers with the same name share their topics; in NATS it begins the names of the stream, the bucket and all subjects. Up to 32 letters, digits, - and _."`
	Replicas       int           `yaml:"replicas" default:"0" min:"0" max:"5" help:"How many servers have a copy of each message; 0: three in a cluster (two if it has only two servers), else 1. With three copies one may be lost, with five two."`
	MaxBytes       Size          `yaml:"max-bytes" default:"0" help:"Bytes of all messages that are kept. Beyond that nothing is accepted until old ones have gone. 0: as much as the disk has room for (three quarters of what is free at the start), or as NATS allows."`
	PublishTimeout time.Duration `yaml:"publish-timeout" default:"5s" min:"100ms" max:"1m" help:"How long it may take until a message is stored; then publishing has failed."`
	Sync           string        `yaml:"sync" default:"auto" help:"When messages are on disk, with data: always, before they are acknowledged, or after a time such as 1s, so that a power failure (not a crash of the server) may cost what is younger. auto: always in a cluster, which needs it, else 1s."`

	CredentialsFile string `yaml:"credentials-file" help:"With nats: credentials (JWT and nkey) as the tool nsc writes them."`
	User            string `yaml:"user" help:"With nats: the user."`
	PasswordFile    string `yaml:"password-file" help:"With nats: the user's password."`
	CA              string `yaml:"ca" help:"With nats: PEM file with the issuers of the servers' certificates; empty: those that the system trusts. With it, TLS is required."`
	Cert            string `yaml:"cert" help:"With nats: PEM file with our certificate, where servers ask for one."`
	Key             string `yaml:"key" help:"And its private key."`

	ClusterSecretFile string `yaml:"cluster-secret-file" help:"With cluster: what the servers show each other, the same on each; 16 bytes or more. Required when other machines can reach one of the addresses."`
	ClusterCA         string `yaml:"cluster-ca" help:"With cluster: PEM file with the issuers of the certificates that the servers show each other."`
	ClusterCert       string `yaml:"cluster-cert" help:"With cluster: PEM file with this server's certificate, for the host in its address, as server and as client. Empty: others on the network can read what the servers say."`
	ClusterKey        string `yaml:"cluster-key" help:"And its private key."`
}

// Durable reports whether messages are kept outside of the server's memory.
func (c *Config) Durable() bool { return c.Data != "" || len(c.NATS) > 0 }

// Replicas is how many copies of a message there are to be.
func (c *Config) Replicas() int {
	if c.Bus.Replicas > 0 {
		return c.Bus.Replicas
	}
	return max(1, min(3, len(c.Cluster)))
}

// SyncAlways reports whether messages are on disk before they are acknowledged; otherwise every says how long that may take.
func (c *Config) SyncAlways() (always bool, every time.Duration) {
	switch c.Bus.Sync {
	case "always":
		return true, 0
	case "auto", "":
		return len(c.Cluster) > 0, time.Second
	}
	every, _ = time.ParseDuration(c.Bus.Sync) // checked
	return false, every
}

// Peer is one server of a cluster.
type Peer struct{ Name, Address string }

// Peers returns Cluster as names with addresses.
func (c *Config) Peers() []Peer {
	peers := make([]Peer, 0, len(c.Cluster))
	for _, text := range c.Cluster {
		name, address, _ := strings.Cut(text, "=")
		peers = append(peers, Peer{name, address})
	}
	return peers
}

var busName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

const (
	minSync    = 100 * time.Millisecond
	maxSync    = 10 * time.Minute
	maxServers = 32
)

// MaxBusMessage bounds data in one message where a bus keeps or carries it.
const MaxBusMessage = 48 << 20

// checkBus finds out whether the settings of the bus fit together.
func (l *loader) checkBus() {
	c := l.loaded.Config
	if !busName.MatchString(c.Bus.Name) {
		l.complainAt("bus.name", "%q is not a name; write up to 32 letters, digits, - and _", c.Bus.Name)
	}
	if c.Data != "" && len(c.NATS) > 0 {
		l.complainAt("nats", "there is data (%s) too, and messages are kept in one place: either in a directory of this server's, or by NATS servers", l.origin("data"))
	}
	l.checkSync()
	l.checkNATS()
	l.checkCluster()
	l.checkUnused()
	if c.Durable() {
		for i, t := range c.Topics {
			if t.MaxBytes > MaxBusMessage {
				l.complainAt(fmt.Sprintf("topics[%d].max-bytes", i), "with data or nats a message has at most %s", Size(MaxBusMessage))
			}
		}
	}
}

// origin says where a setting was made.
func (l *loader) origin(path string) string {
	if where := l.loaded.sources[path]; where != "" {
		return where
	}
	return "default"
}

func (l *loader) checkSync() {
	sync := l.loaded.Bus.Sync
	if sync == "always" || sync == "auto" {
		return
	}
	d, err := time.ParseDuration(sync)
	switch {
	case err != nil:
		l.complainAt("bus.sync", "%q is neither always, auto nor a duration such as 1s", sync)
	case d < minSync || d > maxSync:
		l.complainAt("bus.sync", "%s is out of range; it must be at least 100ms and at most 10m, or always", sync)
	}
}

func (l *loader) checkNATS() {
	for _, text := range l.loaded.NATS {
		u, err := url.Parse(text)
		switch {
		case err == nil && u.User != nil:
			l.complainAt("nats", "an address has neither user nor password, as others see it; give bus.user and bus.password-file")
		case err != nil, u.Hostname() == "", !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme), strings.Trim(u.Path, "/") != "":
			l.complainAt("nats", "%q is not the address of a NATS server; write for instance nats://10.0.0.7:4222", text)
		}
	}
	b := &l.loaded.Bus
	switch {
	case b.CredentialsFile != "" && b.User != "":
		l.complainAt("bus.user", "there are credentials (%s) too; give one of them", l.origin("bus.credentials-file"))
	case b.User != "" && b.PasswordFile == "":
		l.complainAt("bus.user", "a user needs a password; give bus.password-file (--bus-password-file) too")
	case b.User == "" && b.PasswordFile != "":
		l.complainAt("bus.password-file", "a password needs its user; give bus.user (--bus-user) too")
	}
	l.checkPair("bus.cert", b.Cert, "bus.key", b.Key)
}

func (l *loader) checkPair(certPath, cert, keyPath, key string) {
	switch {
	case cert != "" && key == "":
		l.complainAt(certPath, "a certificate needs its key; give %s (--%s) too", keyPath, flagOf(keyPath))
	case cert == "" && key != "":
		l.complainAt(keyPath, "a key needs its certificate; give %s (--%s) too", certPath, flagOf(certPath))
	}
}

// checkUnused finds settings that nothing would read: whoever made them believes in something that is not so.
func (l *loader) checkUnused() {
	c := l.loaded.Config
	b := &c.Bus
	for _, s := range []struct {
		given, used bool
		path, needs string
	}{
		{c.Node != "", len(c.Cluster) > 0, "node", "cluster (--cluster)"},
		{len(c.Cluster) > 0, c.Data != "" || len(c.NATS) > 0, "cluster", "data (--data), a directory for what this server keeps"},
		{len(c.Cluster) > 0, len(c.NATS) == 0, "cluster", "data (--data) instead of nats: servers form a cluster of their own, or join one of NATS"},
		{b.CredentialsFile != "", len(c.NATS) > 0, "bus.credentials-file", "nats (--nats)"},
		{b.User != "", len(c.NATS) > 0, "bus.user", "nats (--nats)"},
		{b.CA != "", len(c.NATS) > 0, "bus.ca", "nats (--nats)"},
		{b.Cert != "", len(c.NATS) > 0, "bus.cert", "nats (--nats)"},
		{b.ClusterSecretFile != "", len(c.Cluster) > 0, "bus.cluster-secret-file", "cluster (--cluster)"},
		{b.ClusterCert != "", len(c.Cluster) > 0, "bus.cluster-cert", "cluster (--cluster)"},
		{b.ClusterCA != "", len(c.Cluster) > 0, "bus.cluster-ca", "cluster (--cluster)"},
		{b.Sync != "auto", c.Data != "", "bus.sync", "data (--data)"},
		{b.Replicas > 0, c.Durable(), "bus.replicas", "data (--data) with cluster, or nats (--nats)"},
		{b.MaxBytes > 0, c.Durable(), "bus.max-bytes", "data (--data) or nats (--nats)"},
	} {
		if s.given && !s.used {
			l.complainAt(s.path, "it needs %s", s.needs)
		}
	}
}

func (l *loader) checkCluster() {
	c := l.loaded.Config
	if c.Bus.Replicas > max(1, len(c.Cluster)) && len(c.NATS) == 0 && c.Data != "" {
		l.complainAt("bus.replicas", "%d copies need as many servers, and there are %d", c.Bus.Replicas, max(1, len(c.Cluster)))
	}
	if len(c.Cluster) == 0 {
		return
	}
	if len(c.Cluster) < 2 || len(c.Cluster) > maxServers {
		l.complainAt("cluster", "a cluster has 2 to %d servers; name all of them, this one too, or leave it out for a server on its own", maxServers)
	}
	if len(c.Cluster)%2 == 0 {
		l.loaded.Warnings = append(l.loaded.Warnings, fmt.Sprintf(
			"%s: cluster: more than half of the servers must be there, so that %d can do without as many as %d can", l.origin("cluster"), len(c.Cluster), len(c.Cluster)-1))
	}
	l.checkPair("bus.cluster-cert", c.Bus.ClusterCert, "bus.cluster-key", c.Bus.ClusterKey)
	if (c.Bus.ClusterCA != "") != (c.Bus.ClusterCert != "") {
		l.complainAt("bus.cluster-cert", "with TLS every server shows a certificate to every other: bus.cluster-cert, bus.cluster-key and bus.cluster-ca belong together")
	}
	l.checkPeers()
}

func (l *loader) checkPeers() {
	c := l.loaded.Config
	var names []string
	for i, p := range c.Peers() {
		if !l.checkPeer(c.Cluster[i], p) {
			return
		}
		if slices.ContainsFunc(c.Peers()[:i], func(q Peer) bool { return q.Name == p.Name || q.Address == p.Address }) {
			l.complainAt("cluster", "%s has its name or its address in common with another server", c.Cluster[i])
			return
		}
		names = append(names, p.Name)
	}
	switch {
	case c.Node == "":
		l.complainAt("cluster", "which of them is this server? give node (--node), one of: %s", strings.Join(names, ", "))
	case !slices.Contains(names, c.Node):
		l.complainAt("node", "%q is none of the servers of the cluster; there are: %s", c.Node, strings.Join(names, ", "))
	}
}

func (l *loader) checkPeer(text string, p Peer) bool {
	host, port, err := net.SplitHostPort(p.Address)
	n, wrong := strconv.ParseUint(port, 10, 16)
	switch {
	case !busName.MatchString(p.Name) || err != nil || host == "" || wrong != nil || n == 0:
		l.complainAt("cluster", "%q is not a server of a cluster; write NAME=HOST:PORT, for instance a=10.0.0.7:6222", text)
		return false
	case l.loaded.Bus.ClusterSecretFile == "" && !loopback(host):
		l.complainAt("cluster", "whoever can reach %s would be one of the servers; give bus.cluster-secret-file (--bus-cluster-secret-file), the same secret on each", p.Address)
		return false
	}
	return true
}

// loopback reports whether only the machine itself can reach a host.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
