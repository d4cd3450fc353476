package duplex_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// expectedOutput is what an example says at its end that it prints.
var expectedOutput = regexp.MustCompile(`(?s)\n// Output:\n(.*)$`)

// TestExamples runs every program in examples/ and compares what it prints with what it says.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("examples/*/main.go")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no examples", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found := expectedOutput.FindSubmatch(source)
			if found == nil {
				t.Fatalf("%s does not end with // Output:", file)
			}
			want := strings.ReplaceAll(strings.TrimPrefix(string(found[1]), "// "), "\n// ", "\n")
			got, err := exec.CommandContext(t.Context(), "go", "run", "./"+filepath.Dir(file)).CombinedOutput()
			if err != nil || string(got) != want {
				t.Errorf("%v, printed\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}
