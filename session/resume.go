package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
)

const (
	macBytes   = 16
	maxResume  = 1 << 10
	idAlphabet = 16 // characters of rand.Text that make a session's id: 80 bits
)

// resumer signs what a client needs to go on with its session on another connection, so that nothing has to be kept for those who
// may never come back.
type resumer struct{ keys [][]byte } // the first one signs; all are accepted

// newResumer takes the keys of Options. Without any it makes one, which nobody else has.
func newResumer(key []byte, previous [][]byte) *resumer {
	if len(key) == 0 {
		key = make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
	}
	return &resumer{append([][]byte{key}, previous...)}
}

func newSessionID() string { return strings.ToLower(rand.Text()[:idAlphabet]) }

// pass is what a client resumes with.
type pass struct {
	session, user string
	turn          uint64 // how many connections the session has had, with that for which this was made
}

// text is what is signed. Neither a session's id nor a user has a zero byte in it.
func (p pass) text() string {
	return p.session + "\x00" + strconv.FormatUint(p.turn, 10) + "\x00" + p.user
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("duplex session\x00" + text)) // so that a key that is used for something else too does no harm
	return h.Sum(nil)[:macBytes]
}

// secret is what the client shows to resume.
func (r *resumer) secret(p pass) string {
	text := p.text()
	return base64.RawURLEncoding.EncodeToString(append(mac(r.keys[0], text), text...))
}

// open returns what is in a secret, if it is one of ours.
func (r *resumer) open(secret string) (p pass, ok bool) {
	if len(secret) > maxResume {
		return pass{}, false
	}
	bytes, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil || len(bytes) < macBytes {
		return pass{}, false
	}
	text := string(bytes[macBytes:])
	for _, key := range r.keys {
		ok = ok || hmac.Equal(bytes[:macBytes], mac(key, text))
	}
	parts := strings.SplitN(text, "\x00", 3)
	if !ok || len(parts) != 3 {
		return pass{}, false
	}
	p.session, p.user = parts[0], parts[2]
	p.turn, err = strconv.ParseUint(parts[1], 10, 64)
	return p, err == nil
}
