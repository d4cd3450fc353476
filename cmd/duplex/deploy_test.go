package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/duplex-websocket/duplex/internal/server/config"
)

const deploy = "../../deploy"

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// composition is what a compose file says about servers.
type composition struct {
	Services map[string]struct {
		Build       struct{ Context, Dockerfile string }
		Hostname    string
		Environment map[string]string
		Volumes     []string
		Secrets     []string
		Healthcheck struct{ Test []string }
	}
	Secrets map[string]struct{ File string }
}

// TestCompose: the settings of the compose file are such that the servers accept them, and form one cluster.
func TestCompose(t *testing.T) {
	var compose composition
	if err := yaml.Unmarshal([]byte(readDeploy(t, "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	var nodes []string
	for name, service := range compose.Services {
		if name == "proxy" {
			continue
		}
		var environ []string
		for variable, value := range service.Environment {
			environ = append(environ, variable+"="+value)
		}
		loaded, err := config.Load(config.Input{File: filepath.Join(deploy, "duplex.yaml"), Environ: environ})
		if err != nil {
			t.Fatal(err)
		}
		if len(loaded.Warnings) > 0 || loaded.Node != name || service.Hostname != name || len(loaded.Cluster) != len(compose.Services)-1 {
			t.Errorf("%s: %q, node %q of %q", name, loaded.Warnings, loaded.Node, loaded.Cluster)
		}
		for _, peer := range loaded.Peers() {
			if _, is := compose.Services[peer.Name]; !is || !strings.HasPrefix(peer.Address, peer.Name+":") {
				t.Errorf("%s: no service %s", name, peer)
			}
		}
		if file := service.Environment["DUPLEX_CONFIG"]; !slices.Contains(service.Volumes, "./duplex.yaml:"+file+":ro") ||
			!slices.Contains(service.Volumes, name+":"+loaded.Data) {
			t.Errorf("%s: %q", name, service.Volumes)
		}
		for _, file := range []string{loaded.Bus.ClusterSecretFile, loaded.Tokens.Keys[0].File} {
			if secret, is := strings.CutPrefix(file, "/run/secrets/"); !is || !slices.Contains(service.Secrets, secret) || compose.Secrets[secret].File == "" {
				t.Errorf("%s: there is no secret %s", name, file)
			}
		}
		if check := service.Healthcheck.Test; !strings.HasSuffix(check[len(check)-1], ":8080/readyz") || loaded.Listen != ":8080" {
			t.Errorf("%s: %q", name, check)
		}
		if _, err := os.Stat(filepath.Join(deploy, service.Build.Context, service.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
		nodes = append(nodes, name)
	}
	slices.Sort(nodes)
	if !slices.Equal(nodes, []string{"a", "b", "c"}) {
		t.Errorf("%q", nodes)
	}
}

// TestProxy has nginx read its configuration, with hosts that exist here, and finds all servers in it.
func TestProxy(t *testing.T) {
	text := readDeploy(t, "nginx.conf")
	hosts := regexp.MustCompile(`server ([abc]):8080`)
	seen := map[string]bool{}
	for _, found := range hosts.FindAllStringSubmatch(text, -1) {
		seen[found[1]] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("servers: %q", got)
	}
	text = "pid " + filepath.Join(t.TempDir(), "pid") + ";\n" + hosts.ReplaceAllString(text, "server 127.0.0.1:8080")
	text = strings.Replace(text, "listen 80;", "listen unix:"+filepath.Join(t.TempDir(), "socket")+";", 1) // nginx -t opens it
	checked, err := exec.Command("nginx", "-t", "-p", t.TempDir(), "-c", writeFile(t, "nginx.conf", text)).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, checked)
	}
}

// TestUnit: the parser accepts the command lines of the systemd unit.
func TestUnit(t *testing.T) {
	text := readDeploy(t, "duplex.service")
	file := writeFile(t, "duplex.yaml", "tokens: {keys: [{file: key, algorithm: HS256}]}\nlisten: ':443'\n")
	lines := regexp.MustCompile(`(?m)^Exec(\w+)=/usr/local/bin/duplex (.*)$`).FindAllStringSubmatch(text, -1)
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	for _, line := range lines {
		args := strings.Fields(strings.ReplaceAll(line[2], "/etc/duplex/duplex.yaml", file))
		if i := slices.Index(args, "serve"); i >= 0 {
			args = slices.Replace(args, i, i+1, "config", "print")
		} else {
			args[slices.Index(args, "check")] = "print" // the keys are not here
		}
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != exitOK {
			t.Errorf("%s: exit code %d: %s", line[0], code, stderr.String())
		}
		if line[1] == "Start" && !strings.Contains(stdout.String(), "data: /var/lib/duplex # --data") {
			t.Errorf("no data:\n%s", stdout.String())
		}
	}
	for _, setting := range []string{"StateDirectory=duplex", "KillSignal=SIGTERM", "LimitNOFILE=1048576", "ExecReload=/bin/kill -HUP $MAINPID"} {
		if !strings.Contains(text, "\n"+setting+"\n") {
			t.Errorf("no %s", setting)
		}
	}
}

// TestCommandsOfDocuments: the parser accepts what the pages tell people to type.
func TestCommandsOfDocuments(t *testing.T) {
	typed := regexp.MustCompile("(?m)^(?:.*`)?duplex serve ([^`#\n]*)")
	for page, least := range map[string]int{"README.md": 5, "README.zh-CN.md": 5, "docs/operations.md": 3} {
		content, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, line := range typed.FindAllStringSubmatch(string(content), -1) {
			args := append([]string{"config", "print"}, strings.Fields(line[1])...)
			if slices.Contains(args, "--config") {
				continue // whose file is not here
			}
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), args, &stdout, &stderr); code != exitOK {
				t.Errorf("%s: %s: exit code %d: %s", page, line[0], code, stderr.String())
			}
			seen++
		}
		if seen < least {
			t.Errorf("%s: %d commands; there are more to be tested", page, seen)
		}
	}
}
