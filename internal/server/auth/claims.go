package auth

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

// checkUser holds a user to the rules of the hub, and to that of the protocol that "~" begins the names of anonymous ones.
func checkUser(user string) error {
	switch {
	case user == "" || len(user) > hub.MaxName:
		return fmt.Errorf("a user has 1 to %d bytes, not %d", hub.MaxName, len(user))
	case !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl):
		return errors.New("a user is UTF-8 without control characters")
	case user[0] == '~':
		return errors.New("a user does not begin with ~, as anonymous ones do")
	}
	return nil
}
