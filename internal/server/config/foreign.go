package config

import "reflect"

// foreignTags are the tags of settings whose structs belong to other packages, which know nothing of this schema. The
// defaults are those that these packages document for their zero values.
var foreignTags = map[string]reflect.StructTag{
	"tokens":                     `help:"Which tokens (JWT) are accepted. Without keys and issuers there are no tokens: everybody is let in, and the server listens on loopback only."`,
	"tokens.keys":                `help:"Keys in files; at most 64."`,
	"tokens.keys.file":           `help:"A public key as PEM, or the secret of HS256: at least 32 bytes as they are, or in base64 behind base64:. Required."`,
	"tokens.keys.algorithm":      `help:"The only algorithm that the key is good for. Required." enum:"HS256,RS256,ES256,EdDSA"`,
	"tokens.keys.id":             `help:"The kid of the tokens that it is for; empty: tokens without a kid, and those whose kid is no other key's."`,
	"tokens.keys.issuer":         `help:"The iss of the tokens that it is for; empty: any that is not named elsewhere."`,
	"tokens.keys.user-prefix":    `help:"Put in front of the user of its tokens, so that the ann of two issuers is two people."`,
	"tokens.issuers":             `help:"Issuers that publish their keys as a JWKS; at most 16."`,
	"tokens.issuers.issuer":      `help:"The iss of its tokens. Required."`,
	"tokens.issuers.url":         `help:"Address of the JWKS; https, or http on a loopback address. No token leads to another address. Required."`,
	"tokens.issuers.algorithms":  `help:"Out of RS256, ES256 and EdDSA; empty: all three."`,
	"tokens.issuers.user-prefix": `help:"Put in front of the user of its tokens."`,
	"tokens.allow-anonymous":     `help:"Let clients without a token in although there are keys; a token that is not valid is refused all the same." default:"false"`,
	"tokens.audience":            `help:"A token must be for one of these (aud); empty: whatever it says."`,
	"tokens.cookie":              `help:"Name of the cookie that may carry the token; empty: none."`,
	"tokens.leeway":              `help:"How far clocks may differ." default:"30s" min:"1ms" max:"10m"`,
	"tokens.max-life":            `help:"How long a token may live; revocations are remembered for so long." default:"720h" min:"1s" max:"87600h"`,
	"tokens.allow-no-expiry":     `help:"Accept tokens that never expire; revocations are then never forgotten." default:"false"`,
	"tokens.single-use":          `help:"Accept every token once; it must have a jti." default:"false"`,
	"tokens.max-revocations":     `help:"Users whose revocation is remembered." default:"100000" min:"1"`,
	"tokens.max-used":            `help:"Tokens that are remembered for single-use." default:"1000000" min:"1"`,

	"webhooks":                  `help:"A backend that is asked over HTTP; a hook without a URL is not asked. When the backend does not answer as it should, the client is refused."`,
	"webhooks.connect.url":      `help:"Decides who a client is."`,
	"webhooks.connect.headers":  `help:"Headers of the handshake that are passed on besides Origin and User-Agent, for instance Cookie."`,
	"webhooks.subscribe.url":    `help:"Decides about subscriptions."`,
	"webhooks.subscribe.topics": `help:"Patterns that it is asked about; empty: all topics."`,
	"webhooks.publish.url":      `help:"Decides about messages, and may rewrite them."`,
	"webhooks.publish.topics":   `help:"Patterns that it is asked about; empty: all topics."`,
	"webhooks.request.url":      `help:"Answers requests."`,
	"webhooks.request.methods":  `help:"Patterns of the methods that it answers; empty: all."`,
	"webhooks.secret-file":      `help:"File with the key of the signatures: at least 32 bytes as they are, or in base64 behind base64:. Required with any URL."`,
	"webhooks.timeout":          `help:"For one call, with what it waits for its turn." default:"5s" min:"1ms" max:"30s"`,
	"webhooks.concurrency":      `help:"Calls at one time." default:"64" min:"1" max:"10000"`,
	"webhooks.queue":            `help:"Calls that wait for their turn; beyond that the client is refused." default:"1024" min:"1" max:"1000000"`,
	"webhooks.max-response":     `help:"Bytes of an answer." default:"1MiB" min:"1B" max:"64MiB" unit:"bytes"`,
	"webhooks.insecure":         `help:"Allow http addresses that are not loopback: others can then read and change what is said." default:"false"`,

	"api":            `help:"The HTTP API for programs, below /api."`,
	"api.keys":       `help:"Keys that are accepted as Authorization: Bearer KEY or X-API-Key: KEY; 20 to 255 visible characters each." secret:"true"`,
	"api.key-file":   `help:"File with further keys, one in a line."`,
	"api.max-body":   `help:"Bytes of a request." default:"1MiB" min:"1B" max:"64MiB" unit:"bytes"`,
	"api.max-topics": `help:"Topics of one broadcast." default:"1000" min:"1" max:"100000"`,
}
