package natsbroker

import (
	"encoding/base64"
	"strings"
)

// The keys of the bucket. Topics and users are any text, and become one token each.
//
//	p.n.<node>                  the lease of a node
//	p.t.<topic>.<node>.<user>   the connections of a user to a topic through a node; with countToken instead of a user, how many are only counted
//	s.<name>                    a secret, which is not republished
const (
	leaseKeys  = "p.n."
	topicKeys  = "p.t."
	secretKeys = "s."

	countToken = "=" // no user is encoded like this
)

// token is text as a part of a key.
func token(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func untoken(token string) (text string, ok bool) {
	p, err := base64.RawURLEncoding.DecodeString(token)
	return string(p), err == nil
}

// entryKey names an entry: by tokens of a topic and a user, and a node.
type entryKey struct{ topic, node, user string }

func (k entryKey) String() string { return topicKeys + k.topic + "." + k.node + "." + k.user }

func parseEntryKey(key string) (k entryKey, ok bool) {
	rest, ok := strings.CutPrefix(key, topicKeys)
	if !ok {
		return k, false
	}
	k.topic, rest, _ = strings.Cut(rest, ".")
	k.node, k.user, ok = strings.Cut(rest, ".")
	return k, ok && k.topic != "" && k.node != "" && k.user != "" && !strings.Contains(k.user, ".")
}

// entriesOf matches the keys of all entries of a node.
func entriesOf(node string) string { return topicKeys + "*." + node + ".*" }

// entriesIn matches the keys of all entries of a topic, which is given as token.
func entriesIn(topic string) string { return topicKeys + topic + ".>" }
