// Package duplex_test checks the repository as a whole: which package may import which, where platform
// code may live, and that the documents show code that compiles.
package duplex_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const module = "github.com/duplex-websocket/duplex"

// row is one line of the table of allowed imports: what a package may import of ours and from elsewhere.
// The standard library is allowed but for what pure forbids. An entry of elsewhere allows everything below it.
type row struct {
	ours      []string
	elsewhere []string
	pure      purity
}

// purity says which parts of the standard library a package does without.
type purity uint8

const (
	ordinary purity = iota // anything goes
	noIO                   // no sockets and no files
	sansIO                 // no I/O, clock, goroutine or lock: bytes in, events out, bytes out
)

// table is the architecture. A package that is not here yet gets a row in the change that adds it.
var table = map[string]row{
	"websocket/deflate":      {elsewhere: []string{"github.com/klauspost/compress/flate"}, pure: sansIO},
	"websocket/protocol":     {ours: []string{"websocket/deflate"}, pure: sansIO},
	"internal/loop":          {elsewhere: []string{"golang.org/x/sys"}},
	"internal/loop/looptest": {ours: []string{"internal/loop"}},
	"websocket": {
		ours:      []string{"websocket/protocol", "websocket/deflate", "internal/loop"},
		elsewhere: []string{"golang.org/x/net"},
	},
	"websocket/webapi": {ours: []string{"websocket"}},
	"hub":              {pure: noIO},
	"hub/hubtest":      {ours: []string{"hub"}},
	"hub/natsbroker":   {ours: []string{"hub"}, elsewhere: []string{"github.com/nats-io/nats.go"}},
	// session serves its protocol on a websocket.Server, so that a program has its hub on a mux with one line.
	"session": {ours: []string{"hub", "websocket"}},
	// client knows the protocol, not its server; it reconnects by the rules of webapi.
	"client":          {ours: []string{"websocket", "websocket/webapi"}},
	"internal/faulty": {}, // a bad network, for tests
	// ledger holds what clients have written down against the protocol's promise.
	"internal/ledger": {ours: []string{"client", "hub"}},
	"socketio/engineio": {
		ours: []string{"websocket"},
	},
	"socketio":                    {ours: []string{"socketio/engineio", "hub"}},
	"conformance":                 {ours: []string{"websocket", "websocket/protocol", "websocket/deflate"}},
	"web":                         {},
	"internal/showcase":           {ours: []string{"hub", "session", "websocket"}},
	"internal/showcase/orders":    {ours: []string{"hub", "internal/showcase"}, elsewhere: []string{"modernc.org/sqlite", "github.com/jackc/pgx"}},
	"internal/showcase/uploads":   {ours: []string{"hub", "internal/showcase"}},
	"internal/pgtest":             {}, // a PostgreSQL server for tests
	"internal/showcase/console":   {ours: []string{"hub", "internal/showcase"}},
	"internal/showcase/quotes":    {ours: []string{"hub", "session", "internal/showcase"}},
	"internal/showcase/arena":     {ours: []string{"hub", "internal/showcase"}},
	"internal/showcase/chat":      {ours: []string{"hub", "internal/showcase", "internal/showcase/picture"}},
	"internal/showcase/picture":   {pure: noIO},
	"internal/showcase/wire":      {}, // what passes over connections, for whoever wants to see it
	"internal/showcase/how":       {ours: []string{"hub", "websocket", "websocket/protocol", "websocket/deflate", "internal/showcase", "internal/showcase/wire"}},
	"internal/showcase/live":      {ours: []string{"hub", "internal/showcase"}},
	"internal/showcase/call":      {ours: []string{"hub", "internal/showcase"}},
	"internal/showcase/locations": {ours: []string{"hub", "internal/showcase"}},
	// edit is also a server for clients of y-websocket.
	"internal/showcase/edit":         {ours: []string{"hub", "websocket", "internal/showcase", "internal/showcase/edit/yjs"}},
	"internal/showcase/edit/yjs":     {pure: sansIO},
	"internal/showcase/scores":       {ours: []string{"hub", "internal/showcase"}},
	"internal/showcase/notify":       {ours: []string{"hub", "internal/showcase"}},
	"internal/showcase/showcasetest": {ours: []string{"hub", "internal/showcase"}},
	"internal/showcase/support":      {ours: []string{"hub", "internal/showcase"}},
	"internal/server": {
		ours: []string{"websocket", "hub", "session", "socketio", "web", "internal/showcase/wire", "internal/showcase", "internal/showcase/how", "internal/showcase/chat", "internal/showcase/orders", "internal/showcase/uploads", "internal/showcase/quotes", "internal/showcase/console", "internal/showcase/live", "internal/showcase/call", "internal/showcase/edit", "internal/showcase/scores", "internal/showcase/notify", "internal/showcase/support", "internal/showcase/arena", "internal/showcase/locations",
			"internal/server/config", "internal/server/auth", "internal/server/webhook", "internal/server/api"},
		elsewhere: []string{
			"github.com/golang-jwt/jwt", "github.com/MicahParks/keyfunc", "github.com/prometheus/client_golang",
			"go.opentelemetry.io/otel", "golang.org/x/crypto",
		},
	},
	"internal/server/config": {
		ours:      []string{"hub", "internal/server/auth", "internal/server/webhook", "internal/server/api"},
		elsewhere: []string{"go.yaml.in/yaml"},
	},
	"internal/server/auth":    {ours: []string{"hub", "session"}, elsewhere: []string{"github.com/golang-jwt/jwt"}},
	"internal/server/webhook": {ours: []string{"hub", "session", "internal/server/auth"}},
	"internal/server/api":     {ours: []string{"hub"}},
	// A lock on a data directory takes system calls, whose place is not here: flock has them for every platform.
	"internal/natsserver": {elsewhere: []string{"github.com/nats-io/nats-server", "github.com/gofrs/flock"}},
	"internal/load": {
		ours:      []string{"websocket", "websocket/protocol", "websocket/deflate", "internal/loop"},
		elsewhere: []string{"github.com/HdrHistogram/hdrhistogram-go"},
	},
	"chaos": {
		ours:      []string{"client", "hub", "internal/faulty", "internal/ledger"},
		elsewhere: []string{"github.com/golang-jwt/jwt", "github.com/nats-io/nats-server"},
	},
	"cmd/duplex": {
		// connect shows control frames, which Options.OnControl names by protocol.Opcode, and reconnects by the rules of webapi.
		ours: []string{"internal/server", "internal/server/config", "internal/server/auth", "internal/showcase/orders", "internal/load", "internal/natsserver", "hub", "hub/natsbroker", "websocket", "websocket/protocol", "websocket/webapi", "client", "conformance"},
		elsewhere: []string{
			"github.com/alecthomas/kong", "golang.org/x/term", "github.com/nats-io/nats.go",
		},
	},
}

// exampleRow holds for every folder of examples/: they import what a user of the library imports.
var exampleRow = row{ours: []string{"websocket", "websocket/webapi", "hub", "client", "session", "socketio"}}

func rowOf(pkg string) (row, bool) {
	if strings.HasPrefix(pkg, "examples/") {
		return exampleRow, true
	}
	r, ok := table[pkg]
	return r, ok
}

// goFile is one parsed Go file of the root module, whatever its build tags.
type goFile struct {
	path string // slash separated, relative to the root
	pkg  string // folder, relative to the root
	test bool
	ast  *ast.File
	fset *token.FileSet
}

func (f *goFile) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(pos).Line)
}

// walk calls visit for every file of the repository that people write: not for .git, what builds leave behind
// or what npm installed.
func walk(t *testing.T, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "node_modules", "build"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() {
			visit(filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// nestedModules lists the folders below the root that are modules of their own.
func nestedModules(t *testing.T) []string {
	var found []string
	walk(t, func(name string) {
		if path.Base(name) == "go.mod" && name != "go.mod" {
			found = append(found, path.Dir(name)+"/")
		}
	})
	return found
}

func parseFile(t *testing.T, name string) *goFile {
	t.Helper()
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return &goFile{path: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: parsed, fset: fset}
}

// goFiles parses the root module; nested modules and folders that the go tool ignores have their own rules.
func goFiles(t *testing.T) []*goFile {
	t.Helper()
	nested := nestedModules(t)
	var files []*goFile
	walk(t, func(name string) {
		inNested := slices.ContainsFunc(nested, func(dir string) bool { return strings.HasPrefix(name, dir) })
		if !strings.HasSuffix(name, ".go") || inNested || ignored(name) {
			return
		}
		files = append(files, parseFile(t, name))
	})
	return files
}

// ignored reports whether the go tool leaves a file out of ./... because of its name.
func ignored(name string) bool {
	for _, element := range strings.Split(name, "/") {
		if element == "testdata" || strings.HasPrefix(element, ".") || strings.HasPrefix(element, "_") {
			return true
		}
	}
	return false
}

func imports(f *goFile) map[string]token.Pos {
	found := make(map[string]token.Pos)
	for _, spec := range f.ast.Imports {
		if name, err := strconv.Unquote(spec.Path.Value); err == nil {
			found[name] = spec.Pos()
		}
	}
	return found
}

// TestImports holds the code to the table: an arrow that the design does not have is an error here.
func TestImports(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue // a test may import what it compares with; go.mod keeps rivals out of this module
		}
		r, known := rowOf(f.pkg)
		if !known {
			t.Errorf("package %s has no row in the table of allowed imports (layout_test.go): add one that says what it may import", f.pkg)
			continue
		}
		for name, pos := range imports(f) {
			if complaint := r.check(f.pkg, name); complaint != "" {
				t.Errorf("%s: %s", f.at(pos), complaint)
			}
		}
	}
}

// check returns a sentence about an import that the row does not allow, or "".
func (r row) check(pkg, name string) string {
	if ours, is := strings.CutPrefix(name, module+"/"); is {
		if slices.Contains(r.ours, ours) {
			return ""
		}
		return fmt.Sprintf("package %s imports our package %s; of ours it may import only: %s", pkg, ours, list(r.ours))
	}
	first, _, _ := strings.Cut(name, "/")
	if !strings.Contains(first, ".") {
		return r.checkStandard(pkg, name)
	}
	for _, allowed := range r.elsewhere {
		if name == allowed || strings.HasPrefix(name, allowed+"/") {
			return ""
		}
	}
	return fmt.Sprintf("package %s imports %s; from elsewhere it may import only: %s", pkg, name, list(r.elsewhere))
}

// impure are the parts of the standard library, with everything below them, that each purity does without.
var impure = map[purity][]string{
	noIO:   {"net", "os", "syscall", "io/ioutil"},
	sansIO: {"net", "os", "syscall", "io/ioutil", "time", "context", "log", "testing", "runtime/debug"},
}

func (r row) checkStandard(pkg, name string) string {
	for _, banned := range impure[r.pure] {
		if name == banned || strings.HasPrefix(name, banned+"/") {
			return fmt.Sprintf("package %s imports %s, but does without: %s", pkg, name, list(impure[r.pure]))
		}
	}
	return ""
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// TestSansIO proves the rest of what the sans-I/O packages promise: no goroutine, no channel and no lock.
func TestSansIO(t *testing.T) {
	for _, f := range goFiles(t) {
		r, _ := rowOf(f.pkg)
		if f.test || r.pure != sansIO {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: package %s starts a goroutine; it may not", f.at(n.Pos()), f.pkg)
			case *ast.ChanType:
				t.Errorf("%s: package %s uses a channel; it may not", f.at(n.Pos()), f.pkg)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "sync" && n.Sel.Name != "Pool" {
					t.Errorf("%s: package %s uses sync.%s; of sync it may use only Pool", f.at(n.Pos()), f.pkg, n.Sel.Name)
				}
			}
			return true
		})
	}
}

// platformPackage is the one place for build tags and raw system calls.
const platformPackage = "internal/loop"

// goos and goarch are file name suffixes that are build tags in disguise.
var (
	goos = []string{"aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "netbsd",
		"openbsd", "plan9", "solaris", "unix", "wasip1", "windows"}
	goarch = []string{"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
		"ppc64le", "riscv64", "s390x", "wasm"}
)

// TestPlatformCode keeps build tags and raw system calls in one leaf package.
func TestPlatformCode(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.pkg == platformPackage {
			continue
		}
		for _, complaint := range slices.Concat(buildTags(f), rawSyscalls(f)) {
			t.Errorf("%s; that belongs in %s", complaint, platformPackage)
		}
	}
}

func buildTags(f *goFile) []string {
	var found []string
	for _, group := range f.ast.Comments {
		for _, line := range group.List {
			if !constraint.IsGoBuild(line.Text) {
				continue
			}
			// Whether the race detector is on is no platform: tests that count allocations ask for it.
			if tag := strings.Trim(strings.TrimPrefix(line.Text, "//go:build"), " !"); tag != "race" {
				found = append(found, fmt.Sprintf("%s: build tag %q", f.at(line.Pos()), tag))
			}
		}
	}
	parts := strings.Split(strings.TrimSuffix(strings.TrimSuffix(path.Base(f.path), ".go"), "_test"), "_")
	if last := parts[len(parts)-1]; len(parts) > 1 && (slices.Contains(goos, last) || slices.Contains(goarch, last)) {
		found = append(found, fmt.Sprintf("%s: file name with the suffix _%s", f.path, last))
	}
	return found
}

// rawSyscalls finds what reaches below net and os. Names of errors and signals, and the interfaces that
// net's types implement, are no system calls.
func rawSyscalls(f *goFile) []string {
	var found []string
	used := imports(f)
	for name, pos := range used {
		if name == "C" || name == "golang.org/x/sys" || strings.HasPrefix(name, "golang.org/x/sys/") {
			found = append(found, fmt.Sprintf("%s: import of %s", f.at(pos), name))
		}
	}
	if _, uses := used["syscall"]; !uses {
		return found
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "syscall" && !harmless(sel.Sel.Name) {
				found = append(found, fmt.Sprintf("%s: syscall.%s", f.at(sel.Pos()), sel.Sel.Name))
			}
		}
		return true
	})
	return found
}

func harmless(name string) bool {
	isErrno := len(name) > 2 && name[0] == 'E' && unicode.IsUpper(rune(name[1]))
	return isErrno || strings.HasPrefix(name, "SIG") || slices.Contains([]string{"Errno", "RawConn", "Conn"}, name)
}

// TestNothingSkips keeps promises honest in every module: no test may skip itself, no function may hide from the
// race detector, no work may be left as a note.
func TestNothingSkips(t *testing.T) {
	note := regexp.MustCompile(`\b(TODO|FIXME)\b`)
	walk(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		f := parseFile(t, name)
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && f.test && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				t.Errorf("%s: %s: a test that cannot run must fail, not skip", f.at(sel.Pos()), sel.Sel.Name)
			}
			return true
		})
		for _, group := range f.ast.Comments {
			for _, line := range group.List {
				if strings.HasPrefix(line.Text, "//go:norace") {
					t.Errorf("%s: go:norace hides a function from the race detector", f.at(line.Pos()))
				}
				if name != "layout_test.go" && note.MatchString(line.Text) {
					t.Errorf("%s: finish what the comment leaves open: %s", f.at(line.Pos()), line.Text)
				}
			}
		}
	})
}

// machinePath matches an absolute path that exists on one machine only. The folder names stand apart from
// their slashes so that this file does not find itself.
var machinePath = regexp.MustCompile("(^|[\\s\"'`=(:,])(/(work|home|root|Users)/\\w|/tmp/duplex|[A-Z]:\\\\Users\\\\)")

// TestNoMachinePaths: nothing in the repository may depend on, or tell, where somebody's checkout is.
// Lock files name packages and checksums, not the host that they were fetched from.
func TestNoMachinePaths(t *testing.T) {
	fetchedFrom := []byte(`"resolved": "http`)
	walk(t, func(name string) {
		content, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(content, 0) >= 0 {
			return // not text
		}
		for i, line := range bytes.Split(content, []byte("\n")) {
			if found := machinePath.Find(line); found != nil {
				t.Errorf("%s:%d: path of one machine: %q", name, i+1, found)
			}
			if bytes.Contains(line, fetchedFrom) && path.Base(name) == "package-lock.json" {
				t.Errorf("%s:%d: names a package host; write it with npm's omit-lockfile-registry-resolved", name, i+1)
				return
			}
		}
	})
}
