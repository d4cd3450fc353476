package hub

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the most bytes that a topic, a user or a key may have.
const MaxName = 255

// CheckTopic reports whether name can be a topic: one or more parts divided by dots, as NATS subjects are. A part is not
// empty and has only visible characters other than `*` and `>`. Names that begin with `$` are the hub's own. The error is an *Error with CodeBadTopic.
func CheckTopic(name string) error {
	if err := checkParts(name); err != nil {
		return err
	}
	if i := strings.IndexAny(name, "*>"); i >= 0 {
		return Errorf(CodeBadTopic, "%q cannot be in a topic: it is kept for patterns", name[i])
	}
	return nil
}

// CheckPattern reports whether pattern can be subscribed to. It is a topic in which a part may be `*`, for exactly one part,
// and the last one `>`, for one or more. The error is an *Error with CodeBadTopic.
func CheckPattern(pattern string) error {
	if err := checkParts(pattern); err != nil {
		return err
	}
	for rest := pattern; rest != ""; {
		part, after, more := strings.Cut(rest, ".")
		switch {
		case part == ">" && more:
			return Errorf(CodeBadTopic, "%q: > can only be the last part", pattern)
		case len(part) > 1 && strings.ContainsAny(part, "*>"):
			return Errorf(CodeBadTopic, "%q: * and > stand for whole parts between dots", pattern)
		}
		rest = after
	}
	return nil
}

func checkParts(name string) error {
	switch {
	case name == "":
		return Errorf(CodeBadTopic, "a topic cannot be empty")
	case len(name) > MaxName:
		return Errorf(CodeBadTopic, "a topic has at most %d bytes, not %d", MaxName, len(name))
	case !utf8.ValidString(name):
		return Errorf(CodeBadTopic, "a topic is UTF-8")
	case reserved(name):
		return Errorf(CodeBadTopic, "%q: what begins with $ is the server's own", name)
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" {
			return Errorf(CodeBadTopic, "%q: a part between dots is empty", name)
		}
	}
	for _, r := range name {
		if unicode.IsSpace(r) || !unicode.IsGraphic(r) {
			return Errorf(CodeBadTopic, "%q cannot be in a topic: its characters are visible ones", r)
		}
	}
	return nil
}

// isPattern reports whether a valid pattern is more than a topic.
func isPattern(s string) bool { return strings.ContainsAny(s, "*>") }

// Match reports whether a valid pattern matches a valid topic.
func Match(pattern, topic string) bool { return Covers(pattern, topic) }

// Covers reports whether pattern matches every topic that other, a topic or a pattern, matches. Both are valid. The hub's own topics are
// matched by no pattern that begins with `*` or `>`.
func Covers(pattern, other string) bool {
	if reserved(other) && !reserved(pattern) {
		return false
	}
	for {
		p, pRest, pMore := strings.Cut(pattern, ".")
		o, oRest, oMore := strings.Cut(other, ".")
		switch {
		case p == ">":
			return true
		case o == ">", p != o && p != "*", pMore != oMore:
			return false
		case !pMore:
			return true
		}
		pattern, other = pRest, oRest
	}
}

// checkIdentity is for what comes from the program, so it says no more than what is wrong.
func checkIdentity(i *Identity) error {
	switch {
	case i.User == "" || len(i.User) > MaxName || !utf8.ValidString(i.User) || strings.ContainsFunc(i.User, unicode.IsControl):
		return Errorf(CodeBadRequest, "a user is 1 to %d bytes of UTF-8 without control characters, unlike %q", MaxName, i.User)
	}
	for _, g := range i.Grants {
		if err := CheckPattern(g.Pattern); err != nil {
			return err
		}
	}
	return nil
}
