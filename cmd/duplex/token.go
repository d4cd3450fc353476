package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/internal/server/auth"
)

// tokenCmd is the verb token.
type tokenCmd struct {
	Key      string        `placeholder:"FILE" help:"Private key (PEM) or secret that signs the token."`
	Alg      string        `placeholder:"NAME" help:"HS256, RS256, ES256 or EdDSA, to make sure (default: what the key is good for)."`
	User     string        `placeholder:"NAME" help:"Whose token it is."`
	Expires  time.Duration `default:"1h" help:"How long it is good for; 0: for ever, which servers refuse by default (default ${default})."`
	Topic    []string      `sep:"none" placeholder:"PATTERN=ACTION,..." help:"Allow subscribe, publish, history or presence; may be repeated."`
	Info     string        `placeholder:"JSON" help:"Object that others see beside the user."`
	Issuer   string        `placeholder:"TEXT" help:"Who issues it (iss)."`
	Audience []string      `placeholder:"TEXT" help:"Whom it is for (aud); may be repeated."`
	Kid      string        `placeholder:"ID" help:"Which of the issuer's keys signs it (kid)."`

	NewSecret  bool   `help:"Make a secret for HS256, and no token."`
	NewKeypair string `placeholder:"KIND" help:"Make a private and a public key, and no token: ed25519, p256 or rsa."`
	Out        string `placeholder:"FILE" help:"Where these write; the public key goes beside it, into FILE.pub (default duplex.key)."`
}

// Run prints a token, or writes files with keys.
func (c *tokenCmd) Run(out output) error {
	switch {
	case c.NewSecret && c.NewKeypair != "":
		return errors.New("--new-secret and --new-keypair are two things; give one")
	case c.NewSecret:
		return c.newSecret(out)
	case c.NewKeypair != "":
		return c.newKeypair(out)
	case c.Out != "":
		return errors.New("--out goes with --new-secret or --new-keypair; the token is printed")
	case c.Key == "" || c.User == "":
		return errors.New("a token needs --key FILE and --user NAME; --new-secret or --new-keypair makes a key")
	}
	key, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	topics, err := parseTopics(c.Topic)
	if err != nil {
		return err
	}
	token, err := auth.Sign(key, c.Alg, c.Kid, auth.Said{
		User: c.User, Life: c.Expires, Topics: topics, Info: []byte(c.Info), Issuer: c.Issuer, Audience: c.Audience,
	})
	if err != nil {
		return fmt.Errorf("cannot make this token: %w", err)
	}
	fmt.Fprintln(out.stdout, token)
	return nil
}

// parseTopics reads "chat.>=subscribe,publish". A pattern may have an = in it, an action has none.
func parseTopics(flags []string) (map[string][]string, error) {
	topics := map[string][]string{}
	for _, flag := range flags {
		i := strings.LastIndexByte(flag, '=')
		if i < 0 {
			return nil, fmt.Errorf("--topic %s: write what it allows behind =, for instance %s=subscribe,publish", flag, flag)
		}
		for action := range strings.SplitSeq(flag[i+1:], ",") {
			topics[flag[:i]] = append(topics[flag[:i]], strings.TrimSpace(action))
		}
	}
	return topics, nil
}

const defaultKeyFile = "duplex.key"

func (c *tokenCmd) newSecret(out output) error {
	name := cmp.Or(c.Out, defaultKeyFile)
	if err := writeNew(name, auth.NewSecret(), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s: a secret for HS256; whoever has it can make tokens\n", name)
	return nil
}

var keyKinds = map[string]string{"ed25519": auth.EdDSA, "p256": auth.ES256, "rsa": auth.RS256}

func (c *tokenCmd) newKeypair(out output) error {
	algorithm, known := keyKinds[c.NewKeypair]
	if !known {
		return fmt.Errorf("--new-keypair %s: ed25519, p256 or rsa is needed", c.NewKeypair)
	}
	private, public, err := auth.NewKeyPair(algorithm)
	if err != nil {
		return err
	}
	name := cmp.Or(c.Out, defaultKeyFile)
	if err := writeNew(name, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(name+".pub", public, 0o644); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	fmt.Fprintf(out.stdout, "%s: the private key, which makes tokens (%s)\n", name, algorithm)
	fmt.Fprintf(out.stdout, "%s.pub: the public key, for the server's configuration\n", name)
	return nil
}

// writeNew never writes over a file: a key that is gone cannot be had again.
func writeNew(name string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already; choose another name with --out", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
