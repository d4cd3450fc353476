package rooms

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckTopic reports whether name can be a topic of a hub whose Options.MaxName is max (0: its default). A name consists of
// one or more parts divided by dots, as NATS subjects are. A part is not empty and has only visible characters; `*` and `>`
// are kept for patterns. The error wraps ErrTopicName and says what is wrong.
func CheckTopic(name string, max int) error {
	if max == 0 {
		max = defaultMaxName
	}
	if problem := nameProblem(name, max); problem != "" {
		return fmt.Errorf("%w: %s", ErrTopicName, problem)
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" {
			return fmt.Errorf("%w: a part between dots is empty", ErrTopicName)
		}
	}
	for _, r := range name {
		if r == '*' || r == '>' || unicode.IsSpace(r) || !unicode.IsGraphic(r) {
			return fmt.Errorf("%w: %q is not allowed", ErrTopicName, r)
		}
	}
	return nil
}

func checkMember(id string, max int) error {
	if problem := nameProblem(id, max); problem != "" {
		return fmt.Errorf("%w: %s", ErrMemberID, problem)
	}
	return nil
}

// nameProblem checks what topics and members have in common.
func nameProblem(name string, max int) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > max:
		return fmt.Sprintf("%d bytes are more than the %d allowed", len(name), max)
	case !utf8.ValidString(name):
		return "it is not UTF-8"
	}
	return ""
}
