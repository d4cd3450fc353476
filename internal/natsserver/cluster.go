package natsserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	clusterName = "duplex" // as nats-server knows it; nodes of another name are refused
	routeUser   = "duplex"

	// A cluster needs nats-server to go through opening its port for clients, since routes wait for that, and we do not want one. No system
	// can open port 65536; nats-server says so, with these words, and goes on without.
	noClientPort   = "Error listening on port:"
	impossiblePort = 65536
)

var nodeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// ParsePeer reads name=host:port.
func ParsePeer(text string) (Peer, error) {
	name, address, found := strings.Cut(text, "=")
	if !found {
		return Peer{}, fmt.Errorf("%q is not a node of a cluster; write NAME=HOST:PORT, for instance a=10.0.0.7:6222", text)
	}
	if !nodeName.MatchString(name) {
		return Peer{}, fmt.Errorf("%q is not the name of a node; write up to 32 letters, digits, - and _", name)
	}
	host, port, err := net.SplitHostPort(address)
	n, wrong := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || wrong != nil || n == 0 {
		return Peer{}, fmt.Errorf("%q is not the address of a node; write HOST:PORT as the other nodes reach it, for instance 10.0.0.7:6222", address)
	}
	return Peer{Name: name, Address: address}, nil
}

// IsLoopback reports whether only this machine can reach the peer's address.
func (p Peer) IsLoopback() bool {
	host, _, err := net.SplitHostPort(p.Address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

func (o *Options) checkCluster() error {
	if len(o.Cluster) == 0 {
		return nil
	}
	if len(o.Cluster) < 2 {
		return errors.New("natsserver: a cluster has two nodes or more; leave Cluster empty for a server on its own")
	}
	for i, p := range o.Cluster {
		if _, err := ParsePeer(p.Name + "=" + p.Address); err != nil {
			return err
		}
		if slices.ContainsFunc(o.Cluster[:i], func(other Peer) bool { return other.Name == p.Name || other.Address == p.Address }) {
			return fmt.Errorf("node %s=%s shares its name or its address with another node of the cluster", p.Name, p.Address)
		}
		if len(o.Secret) == 0 && !p.IsLoopback() {
			return fmt.Errorf("whoever can reach %s would be a node of the cluster: the nodes need a secret that they share", p.Address)
		}
	}
	if !slices.ContainsFunc(o.Cluster, func(p Peer) bool { return p.Name == o.Node }) {
		return fmt.Errorf("%q is none of the nodes of the cluster", o.Node)
	}
	return nil
}

// join makes n a member of the cluster.
func (o *Options) join(n *server.Options) {
	host, port, _ := net.SplitHostPort(o.address()) // checked before
	number, _ := strconv.Atoi(port)
	n.DontListen, n.Host, n.Port = false, "127.0.0.1", impossiblePort
	n.Cluster = server.ClusterOpts{
		Name: clusterName, Host: host, Port: number, NoAdvertise: true, TLSConfig: o.TLS, TLSTimeout: 10, AuthTimeout: 10,
	}
	var user *url.Userinfo
	if len(o.Secret) > 0 {
		// A hash has neither characters that an address cannot hold nor the beginning of what nats-server takes for one of its own.
		sum := sha256.Sum256(append([]byte("duplex cluster\n"), o.Secret...))
		password := hex.EncodeToString(sum[:])
		n.Cluster.Username, n.Cluster.Password = routeUser, password
		user = url.UserPassword(routeUser, password)
	}
	for _, p := range o.Cluster { // with ourselves: JetStream wants to know how many there are
		n.Routes = append(n.Routes, &url.URL{Scheme: "nats", Host: p.Address, User: user})
	}
}

// hasLeader reports whether the cluster can decide, and this node knows what it has decided.
func hasLeader(ns *server.Server) bool {
	info, err := ns.Jsz(nil)
	return err == nil && info.Meta != nil && info.Meta.Leader != "" && ns.JetStreamIsCurrent()
}

// hasCopies reports whether this node has all messages of the streams that it has a part in.
func hasCopies(ns *server.Server) bool {
	info, err := ns.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return false
	}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			if !ns.JetStreamIsStreamCurrent(account.Name, stream.Name) {
				return false
			}
		}
	}
	return true
}

// connected lists the nodes that ns has a connection with.
func connected(ns *server.Server) []string {
	routes, err := ns.Routez(nil)
	if err != nil {
		return nil
	}
	var names []string
	for _, r := range routes.Routes {
		if r.RemoteName != "" && !slices.Contains(names, r.RemoteName) {
			names = append(names, r.RemoteName)
		}
	}
	return names
}

// missing names the other nodes that ns has no connection with.
func (s *Server) missing(ns *server.Server) []string {
	here := connected(ns)
	names := []string{}
	for _, p := range s.options.Cluster {
		if p.Name != s.options.Node && !slices.Contains(here, p.Name) {
			names = append(names, p.Name+"="+p.Address)
		}
	}
	return names
}

// lateError says who has not come in time.
type lateError string

func (e lateError) Error() string { return string(e) }

func (s *Server) tooLate(ns *server.Server, limit time.Duration) lateError {
	if len(s.options.Cluster) == 0 {
		return lateError(fmt.Sprintf("the embedded NATS server is not ready after %s", limit))
	}
	missing := s.missing(ns)
	if len(missing) == 0 {
		return lateError(fmt.Sprintf("the cluster has no leader after %s although all nodes are there; look at their logs", limit))
	}
	return lateError(fmt.Sprintf("the cluster has no leader after %s: there is no connection with %s; a cluster needs more than half of its nodes, and the first time "+
		"all of them; see whether they have started, name the same nodes, reach each other and share the secret", limit, strings.Join(missing, " and ")))
}

// letOthersLead hands over what this node leads, so that the others need not find out that it is gone. It does so for
// streams, and waits for it; nats-server does it for the rest when it ends.
func letOthersLead(ns *server.Server) {
	info, err := ns.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			if !ns.JetStreamIsStreamLeader(account.Name, stream.Name) || ns.JetStreamStepdownStream(account.Name, stream.Name) != nil {
				continue
			}
			awaitOther(ctx, ns, account.Name, stream.Name)
		}
	}
}

// awaitOther waits until the stream is led by another node.
func awaitOther(ctx context.Context, ns *server.Server, account, stream string) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
		if leader := streamLeader(ns, account, stream); leader != "" && leader != ns.Name() {
			return
		}
	}
}

// streamLeader is the node that leads a stream, as far as ns knows; empty: none.
func streamLeader(ns *server.Server, account, stream string) string {
	info, err := ns.Jsz(&server.JSzOptions{Account: account, Accounts: true, Streams: true})
	if err != nil {
		return ""
	}
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			if s.Name == stream && s.Cluster != nil {
				return s.Cluster.Leader
			}
		}
	}
	return ""
}
