// Package config is the configuration of duplex serve: one schema, the struct Config with its tags, from which come the keys
// of the YAML file, the environment variables, the flags, their checks and their documentation.
//
// A setting is named by its path. The setting drain.timeout is the key timeout below drain in the file, DUPLEX_DRAIN_TIMEOUT
// in the environment and --drain-timeout on the command line. A flag wins over the environment, that over the file, and
// that over the default. Lists of objects, such as topics, are in the file only; secrets are not flags, as
// every user of a machine sees the flags of all programs.
//
// These tags of a struct field make the schema; foreign.go has those of structs of other packages:
//
//	yaml     the key; required
//	help     a sentence or two for the documentation
//	default  the value where nothing else is said, in the form in which users write it; else Go's zero value
//	enum     the only values, divided by commas
//	min      the smallest number, duration or size
//	max      and the largest
//	secret   "true": not shown by print, and not a flag
//	unit     "bytes": the number is a size, if its type does not say so
//	restart  "true": a reload does not change it; holds for everything below too
package config

import (
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/server/api"
	"github.com/duplex-websocket/duplex/internal/server/auth"
	"github.com/duplex-websocket/duplex/internal/server/webhook"
)

// Config is everything that can be set. Load and Default make one; its zero value is not valid.
type Config struct {
	Listen            string   `yaml:"listen" default:"127.0.0.1:8080" restart:"true" help:"Where to listen, as HOST:PORT; port 0 takes any free one, and no host means every interface."`
	TLS               TLS      `yaml:"tls"`
	InsecureAnonymous bool     `yaml:"insecure-anonymous" default:"false" restart:"true" help:"Listen on an address that others can reach although there are no keys for tokens: whoever comes is let in, under any name."`
	Origins           []string `yaml:"origins" help:"Web pages that may connect besides the server's own: https://example.com, https://*.example.com, http://localhost:*."`
	Proxies           []string `yaml:"proxies" help:"Addresses or networks of reverse proxies in front, such as 10.0.0.0/8, whose X-Forwarded-For says where a client is."`
	Demo              string   `yaml:"demo" default:"auto" enum:"auto,on,off" restart:"true" help:"Whether the showcase is at / and an echo service at /echo. They ask nobody for a token; auto: only when there are no keys for tokens."`

	Postgres     string `yaml:"postgres" restart:"true" help:"A PostgreSQL database for the orders page, as postgres://USER@HOST/DATABASE or host=... dbname=...; empty: a file of SQLite. Without a password, which others see: that is in postgres-file, or where psql looks for it."`
	PostgresFile string `yaml:"postgres-file" restart:"true" help:"A file with that, when there is a password in it."`

	Data    string   `yaml:"data" restart:"true" help:"A directory for messages and positions, which then outlive the server; made if need be. Empty, and without nats: they are kept in memory."`
	NATS    []string `yaml:"nats" restart:"true" help:"Addresses of NATS servers with JetStream that keep messages and carry them between servers instead: nats://10.0.0.7:4222, or tls://. See bus for who we are there."`
	Cluster []string `yaml:"cluster" restart:"true" help:"All servers of a cluster, the same on each: a=10.0.0.7:6222, b=10.0.0.8:6222, c=10.0.0.9:6222, with the addresses where they reach each other. They keep copies of the messages in their data. Three or five; not even numbers."`
	Node    string   `yaml:"node" restart:"true" help:"The name that this server has in cluster."`
	Bus     Bus      `yaml:"bus" restart:"true"`

	Drain       Drain          `yaml:"drain"`
	Log         Log            `yaml:"log"`
	Limits      Limits         `yaml:"limits"`
	Compression string         `yaml:"compression" default:"off" enum:"off,no-takeover,takeover" restart:"true" help:"Compress messages (permessage-deflate); takeover remembers earlier messages of a connection and costs about 9 KB of memory each."`
	Metrics     bool           `yaml:"metrics" default:"true" restart:"true" help:"Serve figures for Prometheus at /metrics."`
	Admin       Admin          `yaml:"admin"`
	Tokens      auth.Config    `yaml:"tokens"`
	Webhooks    webhook.Config `yaml:"webhooks"`
	API         api.Config     `yaml:"api"`
	Topics      []Topic        `yaml:"topics" help:"Rules for topics; the first whose pattern matches a topic holds for it. Topics that none matches have the defaults below. Without this list there is one rule, for all topics, with 100 messages of history for 10 minutes, and full presence."`
}

// TLS is the server's certificate.
type TLS struct {
	Cert string `yaml:"cert" help:"PEM file with the certificate chain; empty: plain HTTP. The file is read again at a reload."`
	Key  string `yaml:"key" help:"PEM file with the certificate's private key."`
}

// Drain is how the server stops.
type Drain struct {
	Delay   time.Duration `yaml:"delay" default:"0s" min:"0s" max:"1h" help:"How long the server goes on as before after SIGTERM, while /readyz answers 503 already: for load balancers to notice."`
	Timeout time.Duration `yaml:"timeout" default:"10s" min:"0s" max:"1h" help:"How long connections then get to end; what is left then is cut."`
	Rate    int           `yaml:"rate" default:"1000" min:"1" max:"1000000" help:"Connections closed a second, so that clients do not all come back at once."`
	Retry   time.Duration `yaml:"retry" default:"500ms" min:"1ms" max:"1h" help:"How long clients are told to wait before they come back."`
	Spread  time.Duration `yaml:"spread" default:"5s" min:"1ms" max:"1h" help:"And at most so much longer, at random for each of them."`
}

// Log is what is written to standard error.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug,info,warn,error" help:"The least level that is logged; debug has a line for each connection."`
	Format string `yaml:"format" default:"text" enum:"text,json" restart:"true" help:"How lines are written."`
}

// Limits bound what clients can cost.
type Limits struct {
	Frame                 Size          `yaml:"frame" default:"1MiB" min:"1KiB" max:"256MiB" restart:"true" help:"Bytes of one frame of the session protocol. With the showcase (demo) the default is 11MiB, for pictures in base64."`
	Subscriptions         int           `yaml:"subscriptions" default:"1000" min:"1" max:"1000000" help:"Subscriptions of one connection."`
	Connections           int           `yaml:"connections" default:"0" min:"0" help:"Connections in all; 0: as many as the system allows."`
	ConnectionsPerAddress int           `yaml:"connections-per-address" default:"0" min:"0" help:"Connections from one IPv4 address or IPv6 /64 network; 0: no limit. Behind a reverse proxy set proxies too."`
	CommandsRate          float64       `yaml:"commands-rate" default:"100" min:"0.001" help:"Commands of one connection a second, on average."`
	CommandsBurst         int           `yaml:"commands-burst" default:"1000" min:"1" help:"Commands of one connection at once."`
	Requests              int           `yaml:"requests" default:"16" min:"1" max:"10000" help:"Requests of one connection that wait for their answer."`
	ConnectTimeout        time.Duration `yaml:"connect-timeout" default:"10s" min:"100ms" max:"10m" help:"How long a client may take to send its connect command."`
}

// Admin is the listener for operators.
type Admin struct {
	Listen string `yaml:"listen" restart:"true" help:"A second HOST:PORT for /metrics, /api, /healthz and /readyz, for a network that clients do not reach; the first listener then has only /healthz and /readyz of these."`
}

// Topic is one rule of topics.
type Topic struct {
	Pattern        string    `yaml:"pattern" help:"Which topics: chat.lobby, chat.*, quotes.>; > alone matches every topic. Required."`
	History        History   `yaml:"history"`
	Presence       string    `yaml:"presence" default:"off" enum:"off,count,full" help:"Whether it is known who is there: not, how many (for big topics), or who, with joins and leaves."`
	Subscribe      string    `yaml:"subscribe" default:"anyone" enum:"anyone,users,granted,nobody" help:"Who may subscribe: anyone, users with a token, those whose token grants it, or nobody."`
	Publish        string    `yaml:"publish" default:"anyone" enum:"anyone,users,granted,nobody" help:"Who may publish; nobody leaves it to the HTTP API."`
	ReadHistory    string    `yaml:"read-history" default:"anyone" enum:"anyone,users,granted,nobody" help:"Who may read history, and resume where it left off."`
	ReadPresence   string    `yaml:"read-presence" default:"anyone" enum:"anyone,users,granted,nobody" help:"Who may ask who is there, and be told of joins and leaves."`
	MaxSubscribers int       `yaml:"max-subscribers" default:"0" min:"0" help:"Subscriptions of one topic at one time; 0: no limit."`
	MaxBytes       Size      `yaml:"max-bytes" default:"64KiB" min:"1B" max:"256MiB" help:"Bytes of data in one message."`
	Rate           TopicRate `yaml:"rate"`

	Window    time.Duration `yaml:"window" default:"2m" min:"1ms" help:"How long a message's ID is remembered, so that a retry is not a second message."`
	WindowIDs int           `yaml:"window-ids" default:"10000" min:"1" help:"At most so many IDs of one topic, the newest."`
	Slow      Slow          `yaml:"slow"`
}

// History is what a topic keeps.
type History struct {
	Messages int           `yaml:"messages" default:"0" min:"0" help:"Last messages that a topic keeps; 0: none."`
	Age      time.Duration `yaml:"age" default:"1h" min:"1ms" help:"How long it keeps them."`
	Bytes    Size          `yaml:"bytes" default:"1MiB" min:"1B" help:"Bytes that these may hold."`
}

// TopicRate bounds what one client publishes to one topic.
type TopicRate struct {
	Publish float64 `yaml:"publish" default:"0" min:"0" help:"Messages of one client to one topic, a second on average; 0: no limit."`
	Burst   int     `yaml:"burst" default:"0" min:"0" help:"And at once; 0: as many as in a second."`
}

// Slow is what happens to a subscriber that does not keep up.
type Slow struct {
	Policy   string `yaml:"policy" default:"drop-oldest" enum:"drop-oldest,latest,disconnect" help:"Drop what has waited longest, keep the newest message of each key, or disconnect (the client recovers by resuming). What is dropped is told as a gap."`
	Messages int    `yaml:"messages" default:"256" min:"1" help:"Messages that wait for one subscription before that happens."`
	Bytes    Size   `yaml:"bytes" default:"1MiB" min:"1B" help:"And bytes of them."`
}

// Rules returns the topics as the hub wants them.
func (c *Config) Rules() []hub.Rule {
	rules := make([]hub.Rule, len(c.Topics))
	for i, t := range c.Topics {
		rules[i] = hub.Rule{Pattern: t.Pattern, TopicOptions: hub.TopicOptions{
			HistoryMessages: t.History.Messages, HistoryAge: t.History.Age, HistoryBytes: int64(t.History.Bytes),
			Presence:  presenceModes[t.Presence],
			Subscribe: accesses[t.Subscribe], Publish: accesses[t.Publish], ReadHistory: accesses[t.ReadHistory], ReadPresence: accesses[t.ReadPresence],
			MaxSubscribers: t.MaxSubscribers, MaxBytes: int(t.MaxBytes),
			PublishRate: t.Rate.Publish, PublishBurst: t.Rate.Burst, Window: t.Window, WindowIDs: t.WindowIDs,
			Slow: slowPolicies[t.Slow.Policy], SlowMessages: t.Slow.Messages, SlowBytes: int64(t.Slow.Bytes),
		}}
	}
	return rules
}

var (
	presenceModes = map[string]hub.PresenceMode{"off": hub.PresenceOff, "count": hub.PresenceCount, "full": hub.PresenceFull}
	accesses      = map[string]hub.Access{"anyone": hub.Anyone, "users": hub.Users, "granted": hub.Granted, "nobody": hub.Nobody}
	slowPolicies  = map[string]hub.SlowPolicy{
		"drop-oldest": hub.SlowDropOldest, "latest": hub.SlowLatest, "disconnect": hub.SlowDisconnect,
	}
)
