package showcase

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

// codeName refuses who has a name that others should not have to see.
const codeName hub.Code = "demo.name-malformed"

const maxNameRunes = 24

// NameOf returns how others see somebody: the name in the info, or else the user, which the server has chosen for who is anonymous. Names
// that whoever vouches for the user has chosen are taken as they are; others must be short and without markup, or are refused.
func NameOf(who *hub.Identity) (string, error) {
	name, chosen := ShownName(who.User, who.Info)
	if problem := NameProblem(name); chosen && who.Anonymous && problem != "" {
		return "", hub.Errorf(codeName, "%s", problem)
	}
	return name, nil
}

// ShownName is NameOf without the check. chosen says that it is from the info.
func ShownName(user string, info []byte) (name string, chosen bool) {
	var i struct {
		Name *string `json:"name"`
	}
	if json.Unmarshal(info, &i) != nil || i.Name == nil {
		return user, false
	}
	return *i.Name, true
}

// NameProblem says what is wrong with a name, or nothing.
func NameProblem(name string) string {
	switch {
	case name == "":
		return "a name is needed: connect with info {\"name\":\"...\"}"
	case utf8.RuneCountInString(name) > maxNameRunes:
		return fmt.Sprintf("a name has at most %d characters", maxNameRunes)
	case strings.TrimSpace(name) != name || strings.Contains(name, "  "):
		return "a name neither begins nor ends with a space, and has no two in a row"
	}
	if first, _ := utf8.DecodeRuneInString(name); unicode.IsMark(first) || !IsWordRune(first) {
		return "a name begins with a letter or a digit"
	}
	for _, r := range name {
		if !IsWordRune(r) && !strings.ContainsRune(" -_.'·", r) {
			return fmt.Sprintf("a name consists of letters, digits, spaces and - _ . ' ·, so %q cannot be in it", r)
		}
	}
	return ""
}

// IsWordRune reports whether a character is a letter, a digit or a mark, in any script.
func IsWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }
