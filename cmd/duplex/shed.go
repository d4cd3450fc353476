package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// shedCmd is the verb shed.
type shedCmd struct {
	Part   string `arg:"" help:"How many of its clients: 20%, or 0.2."`
	All    bool   `help:"Every server of the cluster sends away this part of its own clients, instead of this one alone."`
	Server string `default:"http://127.0.0.1:8080" env:"DUPLEX_SERVER" placeholder:"URL" help:"The server, or its admin.listen (default ${default})."`
	Key    string `env:"DUPLEX_KEY" placeholder:"KEY" help:"A key of its API. Better in the environment as DUPLEX_KEY, where other users do not see it."`
}

// shedTimeout is for the server's answer; the clients leave after it.
const shedTimeout = 30 * time.Second

// Run asks the server to send away a part of its clients.
func (c *shedCmd) Run(ctx context.Context, out output) error {
	fraction, err := parseFraction(c.Part)
	if err != nil {
		return err
	}
	target, err := apiURL(c.Server, "/api/shed")
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, shedTimeout)
	defer cancel()
	var answer struct {
		Sessions   int    `json:"sessions"`
		Incomplete string `json:"incomplete"`
	}
	question := map[string]any{"fraction": fraction}
	if c.All {
		question["all"] = true
	}
	if err := post(ctx, target, c.Key, question, &answer); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%d clients are told to come back\n", answer.Sessions)
	if answer.Incomplete != "" {
		return withExit(exitUnreachable, fmt.Errorf("not all servers did it: %s", answer.Incomplete))
	}
	return nil
}

// parseFraction reads "20%" or "0.2".
func parseFraction(text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f > 0 && f <= 1) {
		return 0, fmt.Errorf("%q is not a part: write for instance 20%%, or 0.2", text)
	}
	return f, nil
}

// apiURL is where a path of the API is at a server, which may be named by its address for WebSockets too.
func apiURL(server, path string) (string, error) {
	u, err := url.Parse(server)
	if err == nil {
		u.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	}
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not the address of a server; write for instance http://127.0.0.1:8080", server)
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/ws") + path}).String(), nil
}

// post sends question as JSON and reads the answer.
func post(ctx context.Context, target, key string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return withExit(exitUnreachable, err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return withExit(exitUnreachable, err)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.Status, content)
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return fmt.Errorf("the server's answer is not what its API promises: %w", err)
	}
	return nil
}

// refusal is what the API says about a request that it does not like.
func refusal(status string, content []byte) error {
	var said struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	if json.Unmarshal(content, &said) != nil || said.Error.Message == "" {
		return errors.New("the server answers " + status)
	}
	advice := ""
	if strings.HasPrefix(said.Error.Code, "key-") {
		advice = "; give it with --key or DUPLEX_KEY"
	}
	return fmt.Errorf("the server answers %s: %s%s", said.Error.Code, said.Error.Message, advice)
}
