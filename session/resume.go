package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

const (
	macBytes   = 16
	maxResume  = 1 << 10
	idAlphabet = 16 // characters of rand.Text that make a session's id: 80 bits
)

// resumer signs what a client needs to go on with its session on another connection, so that nothing has to be kept for those who
// may never come back. Its key is this process's.
type resumer struct{ key [32]byte }

func newResumer() *resumer {
	r := &resumer{}
	_, _ = rand.Read(r.key[:]) // never fails
	return r
}

func newSessionID() string { return strings.ToLower(rand.Text()[:idAlphabet]) }

func (r *resumer) mac(session, user string) []byte {
	h := hmac.New(sha256.New, r.key[:])
	h.Write([]byte(session + "\x00" + user))
	return h.Sum(nil)[:macBytes]
}

// secret is what the client shows to resume.
func (r *resumer) secret(session, user string) string {
	return base64.RawURLEncoding.EncodeToString(append(r.mac(session, user), session+"\x00"+user...))
}

// open returns the session and the user of a secret, if it is one of ours.
func (r *resumer) open(secret string) (session, user string, ok bool) {
	if len(secret) > maxResume {
		return "", "", false
	}
	p, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil || len(p) < macBytes {
		return "", "", false
	}
	session, user, _ = strings.Cut(string(p[macBytes:]), "\x00")
	return session, user, hmac.Equal(p[:macBytes], r.mac(session, user))
}
