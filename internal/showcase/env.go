package showcase

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
	"github.com/duplex-websocket/duplex/websocket"
)

// Env is what an App finds around it.
type Env struct {
	Hub *hub.Hub // set by Showcase.Start: not there yet while apps are made

	Data         string     // folder that outlasts the process; empty: there is none
	Postgres     string     // a connection string, for what may use PostgreSQL; empty: SQLite
	PostgresFile string     // holds the connection string, instead
	Exposed      bool       // others than this machine reach the server
	Alone        bool       // no other server shares the broker, so nobody has to be asked who works
	MaxFrame     int        // bytes of one frame of the session protocol; 0: no app need care
	Operators    *Operators // who may do more than visitors; default: nobody

	Node        string     // what this server is called in its cluster, or empty
	Journal     *Journal   // the last warnings and errors of the log; default: an empty one
	Connections func() int // WebSockets of all kinds that there are; nil: nobody counts

	// Sessions are the options with which the server serves the hub's sessions, for an app that serves them once more in another way. They are
	// there when the hub is.
	Sessions func() session.Options

	// Accept is for the handshakes of an app's own sockets: the server checks origins and counts connections.
	Accept websocket.AcceptOptions

	Logger *slog.Logger // required

	mu        sync.Mutex
	temporary string // stands for Data if that is empty; guarded by mu
}

// Dir returns a folder for the files of an app, which it makes. Without Data it is gone when the showcase is closed.
func (e *Env) Dir(name string) (string, error) {
	root := e.Data
	if root == "" {
		var err error
		if root, err = e.temp(); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(root, "showcase", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("showcase: no folder for %s: %w", name, err)
	}
	return dir, nil
}

// Lasts reports whether what is in Dir outlasts the process.
func (e *Env) Lasts() bool { return e.Data != "" }

func (e *Env) temp() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.temporary != "" {
		return e.temporary, nil
	}
	dir, err := os.MkdirTemp("", "duplex-")
	if err != nil {
		return "", fmt.Errorf("showcase: no folder for files: %w", err)
	}
	e.temporary = dir
	return dir, nil
}

func (e *Env) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.temporary == "" {
		return nil
	}
	return os.RemoveAll(e.temporary)
}
