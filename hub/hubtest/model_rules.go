package hubtest

import (
	"cmp"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const youngAge = 2 * time.Second

// Topics that keep much and little, for long and not, and nothing. Every topic below "mix" keeps something, so that patterns of
// those can be resumed.
var (
	modelTopics = []string{
		"mix.few.a", "mix.few.b", "mix.young.a", "mix.light.a", "mix.big.a", "mix.a", "mix.b", "latest.a", "latest.b", "cut.a",
		"room.a", "room.b", "bare.a", "bare.b",
	}
	modelPatterns = append([]string{
		"mix.>", "mix.*", "mix.*.a", "mix.few.*", "mix.young.>", "latest.>", "cut.*", "*.a", ">", "bare.*", "room.*",
	}, modelTopics...)
)

func modelRules() []hub.Rule {
	return []hub.Rule{
		{Pattern: "mix.few.>", TopicOptions: hub.TopicOptions{HistoryMessages: 3}},
		{Pattern: "mix.young.>", TopicOptions: hub.TopicOptions{HistoryMessages: 50, HistoryAge: youngAge}},
		{Pattern: "mix.light.>", TopicOptions: hub.TopicOptions{HistoryMessages: 50, HistoryBytes: 6000}},
		{Pattern: "mix.big.>", TopicOptions: hub.TopicOptions{HistoryMessages: 300}},
		{Pattern: "mix.>", TopicOptions: hub.TopicOptions{HistoryMessages: 20, SlowMessages: 5}},
		{Pattern: "latest.>", TopicOptions: hub.TopicOptions{HistoryMessages: 5, SlowMessages: 2, Slow: hub.SlowLatest}},
		{Pattern: "cut.>", TopicOptions: hub.TopicOptions{HistoryMessages: 50, SlowMessages: 4, Slow: hub.SlowDisconnect}},
		{Pattern: "room.>", TopicOptions: hub.TopicOptions{HistoryMessages: 10, Presence: hub.PresenceFull}},
	}
}

// retentionOf is what a topic keeps by modelRules.
func retentionOf(topic string) hub.Retention {
	for _, r := range modelRules() {
		if hub.Match(r.Pattern, topic) {
			return hub.Retention{
				Messages: r.HistoryMessages, Age: cmp.Or(r.HistoryAge, time.Hour), Bytes: cmp.Or(r.HistoryBytes, 1<<20),
				Window: 2 * time.Minute, WindowIDs: 10_000,
			}
		}
	}
	return hub.Retention{Window: 2 * time.Minute, WindowIDs: 10_000}
}

// matching returns the topics that a pattern matches, and whether one of them, or one that there might be, keeps nothing.
func matching(pattern string) (topics []string, bare bool) {
	for _, topic := range modelTopics {
		if hub.Match(pattern, topic) {
			topics = append(topics, topic)
		}
	}
	keeps := func(r hub.Rule) bool { return hub.Covers(r.Pattern, pattern) }
	return topics, !slices.ContainsFunc(modelRules(), keeps)
}

// isRoom reports whether a topic has presence.
func isRoom(topic string) bool { return topic == "room.a" || topic == "room.b" }
