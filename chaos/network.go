package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// network is machines with links between them that can be cut. Machines are named: n1 and so on are NATS servers, d1 and so on Duplex
// nodes, and self is where the clients and this process are.
type network interface {
	// describe says in some words how links are cut, for the report.
	describe() string
	// listen returns where a service of a machine listens, HOST:PORT.
	listen(machine string, s service) string
	// reach returns the address at which from finds that service.
	reach(from, to string, s service) string
	// command makes a command that runs in a machine.
	command(machine, name string, args ...string) *exec.Cmd
	// cut makes two machines unable to hear each other; neither is told. mend takes it back.
	cut(a, b string) error
	mend(a, b string) error
	// isolate takes a machine off the network, and rejoin puts it back.
	isolate(machine string) error
	rejoin(machine string) error
	// slow makes the links of a machine bad, and fast good again; how says in some words what bad is.
	slow(machine string) (how string, err error)
	fast(machine string) error
	close()
}

// self is the machine of the clients and of this process.
const self = "self"

// service is what a machine offers to others.
type service uint8

const (
	serviceHTTP   service = iota // a Duplex node's
	serviceNATS                  // for clients of a NATS server
	serviceRoutes                // between NATS servers
)

var servicePorts = [...]int{serviceHTTP: 8080, serviceNATS: 4222, serviceRoutes: 6222}

// namespaces is a network of network namespaces on one bridge. This process is in a network, mount and process namespace
// of its own, so the kernel clears everything away when it ends, however it ends.
type namespaces struct {
	hosts map[string]int // last number of each machine's address

	mu    sync.Mutex // one change of the network at a time
	netem bool       // the kernel can delay packets
}

const (
	bridge    = "chaos0"
	subnet    = "10.77.0."
	nobodyMAC = "02:00:00:00:00:fe" // no machine has it
)

// execute runs a command that changes the system.
func execute(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// executeAll runs commands, each written with single spaces, until one fails.
func executeAll(commands ...string) error {
	for _, c := range commands {
		words := strings.Fields(c)
		if err := execute(words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func newNamespaces(machines []string) (*namespaces, error) {
	n := &namespaces{hosts: map[string]int{self: 1}}
	err := executeAll(
		"mount -t tmpfs -o size=1m tmpfs /run", // where ip keeps its names: ours are nobody else's business
		"mkdir /run/netns", "ip link set lo up",
		"ip link add "+bridge+" type bridge", "ip addr add "+subnet+"1/24 dev "+bridge, "ip link set "+bridge+" up")
	if err != nil {
		return nil, err
	}
	for i, m := range machines {
		n.hosts[m] = 11 + i
		err := executeAll(
			"ip netns add "+m,
			"ip link add v-"+m+" type veth peer name eth0 netns "+m,
			"ip link set v-"+m+" master "+bridge+" up",
			"ip -n "+m+" addr add "+n.host(m)+"/24 dev eth0",
			"ip -n "+m+" link set eth0 up", "ip -n "+m+" link set lo up")
		if err != nil {
			return nil, err
		}
	}
	first := machines[0]
	try := "ip netns exec " + first + " tc qdisc "
	if executeAll(try+"add dev eth0 root netem delay 1ms") == nil {
		n.netem = true
		return n, executeAll(try + "del dev eth0 root")
	}
	return n, nil
}

func (n *namespaces) describe() string {
	return "network namespaces: a cut drops packets on both sides, isolation takes the carrier away"
}

func (n *namespaces) host(machine string) string { return subnet + strconv.Itoa(n.hosts[machine]) }

func (n *namespaces) listen(machine string, s service) string {
	return net.JoinHostPort(n.host(machine), strconv.Itoa(servicePorts[s]))
}

func (n *namespaces) reach(_, to string, s service) string { return n.listen(to, s) }

func (n *namespaces) command(machine, name string, args ...string) *exec.Cmd {
	if machine == self {
		return exec.Command(name, args...)
	}
	// ip becomes the program, so signals reach that.
	return exec.Command("ip", append([]string{"netns", "exec", machine, name}, args...)...)
}

// in returns the beginning of an ip command for a machine, and its network device.
func (n *namespaces) in(machine string) (ip, device string) {
	if machine == self {
		return "ip", bridge
	}
	return "ip -n " + machine, "eth0"
}

// cut gives both a wrong link address of the other: what they send gets lost, and they cannot know.
func (n *namespaces) cut(a, b string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, side := range [][2]string{{a, b}, {b, a}} {
		ip, device := n.in(side[0])
		if err := executeAll(ip + " neigh replace " + n.host(side[1]) + " lladdr " + nobodyMAC + " nud permanent dev " + device); err != nil {
			return err
		}
	}
	return nil
}

func (n *namespaces) mend(a, b string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, side := range [][2]string{{a, b}, {b, a}} {
		ip, device := n.in(side[0])
		if err := executeAll(ip + " neigh del " + n.host(side[1]) + " dev " + device); err != nil {
			return err
		}
	}
	return nil
}

func (n *namespaces) isolate(machine string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return executeAll("ip link set v-" + machine + " down")
}

func (n *namespaces) rejoin(machine string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return executeAll("ip link set v-" + machine + " up")
}

func (n *namespaces) slow(machine string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	how := "tbf rate 2mbit burst 32kb latency 300ms"
	if n.netem {
		how = "netem delay 150ms 50ms loss 2% rate 8mbit"
	}
	return how, executeAll("ip netns exec "+machine+" tc qdisc add dev eth0 root "+how, "tc qdisc add dev v-"+machine+" root "+how)
}

func (n *namespaces) fast(machine string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return executeAll("ip netns exec "+machine+" tc qdisc del dev eth0 root", "tc qdisc del dev v-"+machine+" root")
}

func (n *namespaces) close() {} // the kernel does

// canUnshare returns the command that gives a program namespaces of its own, or why there is none.
func canUnshare(ctx context.Context) ([]string, error) {
	for _, tool := range []string{"unshare", "ip", "tc", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, err
		}
	}
	unshare := []string{"unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	try := slices.Concat(unshare, []string{"sh", "-c", "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link add chaos0 type bridge && ip netns add try"})
	out, err := exec.CommandContext(ctx, try[0], try[1:]...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(try, " "), err, strings.TrimSpace(string(out)))
	}
	return unshare, nil
}
