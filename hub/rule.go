package hub

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"
)

// Defaults of TopicOptions.
const (
	defaultHistoryAge   = time.Hour
	defaultHistoryBytes = 1 << 20
	defaultMaxBytes     = 64 << 10
	defaultWindow       = 2 * time.Minute
	defaultWindowIDs    = 10_000
	defaultSlowMessages = 256
	defaultSlowBytes    = 1 << 20
)

func (o TopicOptions) withDefaults() TopicOptions {
	if o.HistoryMessages > 0 {
		o.HistoryAge = cmp.Or(o.HistoryAge, defaultHistoryAge)
		o.HistoryBytes = cmp.Or(o.HistoryBytes, defaultHistoryBytes)
	} else {
		o.HistoryAge, o.HistoryBytes = 0, 0
	}
	if o.PublishRate > 0 && o.PublishBurst == 0 {
		o.PublishBurst = max(1, int(math.Ceil(o.PublishRate)))
	}
	o.MaxBytes = cmp.Or(o.MaxBytes, defaultMaxBytes)
	o.Window = cmp.Or(o.Window, defaultWindow)
	o.WindowIDs = cmp.Or(o.WindowIDs, defaultWindowIDs)
	o.SlowMessages = cmp.Or(o.SlowMessages, defaultSlowMessages)
	o.SlowBytes = cmp.Or(o.SlowBytes, defaultSlowBytes)
	return o
}

func (o *TopicOptions) check() error {
	for _, n := range []struct {
		name  string
		value float64
	}{
		{"HistoryMessages", float64(o.HistoryMessages)}, {"HistoryAge", float64(o.HistoryAge)}, {"HistoryBytes", float64(o.HistoryBytes)},
		{"MaxSubscribers", float64(o.MaxSubscribers)}, {"MaxBytes", float64(o.MaxBytes)}, {"PublishRate", o.PublishRate},
		{"PublishBurst", float64(o.PublishBurst)}, {"Window", float64(o.Window)}, {"WindowIDs", float64(o.WindowIDs)},
		{"SlowMessages", float64(o.SlowMessages)}, {"SlowBytes", float64(o.SlowBytes)},
	} {
		if !(n.value >= 0) || math.IsInf(n.value, 0) {
			return fmt.Errorf("%s cannot be %v", n.name, n.value)
		}
	}
	if o.Presence > PresenceFull || max(o.Subscribe, o.Publish, o.ReadHistory, o.ReadPresence) > Nobody || o.Slow > SlowDisconnect {
		return fmt.Errorf("a mode, level or policy is none of the constants")
	}
	return nil
}

func (o *TopicOptions) retention() Retention {
	return Retention{
		Messages: o.HistoryMessages, Age: o.HistoryAge, Bytes: o.HistoryBytes, Window: o.Window, WindowIDs: o.WindowIDs,
	}
}

// access returns who may do one thing.
func (o *TopicOptions) access(action Actions) Access {
	switch action {
	case ActSubscribe:
		return o.Subscribe
	case ActPublish:
		return o.Publish
	case ActHistory:
		return o.ReadHistory
	default:
		return o.ReadPresence
	}
}

// rule is a Rule in use.
type rule struct {
	Rule              // immutable
	counts *RuleStats // guarded by Hub.mu; those of the rule with the same pattern before Hub.SetTopics
}

// ruleset is the rules in force. The last one has no pattern and holds for what no other matches.
type ruleset []*rule

func newRuleset(rules []Rule) (ruleset, error) {
	set := make(ruleset, 0, len(rules)+1)
	for _, r := range rules {
		if err := CheckPattern(r.Pattern); err != nil {
			return nil, fmt.Errorf("hub: rule for topics: %w", err)
		}
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("hub: rule for %q: %w", r.Pattern, err)
		}
		set = append(set, &rule{Rule: Rule{r.Pattern, r.withDefaults()}, counts: &RuleStats{Pattern: r.Pattern}})
	}
	return append(set, &rule{Rule: Rule{TopicOptions: TopicOptions{}.withDefaults()}, counts: &RuleStats{}}), nil
}

// of returns the rule for a topic.
func (s ruleset) of(topic string) *rule {
	last := len(s) - 1
	for _, r := range s[:last] {
		if Covers(r.Pattern, topic) {
			return r
		}
	}
	return s[last]
}

// may decides whether an identity may do something to a topic, or to everything that a pattern matches.
func (s ruleset) may(i *Identity, action Actions, topic string) bool {
	if !isPattern(topic) {
		return i.may(action, s.of(topic).access(action), topic)
	}
	for _, r := range s {
		if r.Pattern != "" && !overlaps(r.Pattern, topic) {
			continue
		}
		if !i.may(action, r.access(action), topic) {
			return false
		}
		if r.Pattern != "" && Covers(r.Pattern, topic) {
			break // the rules behind it do not hold for any topic of this pattern
		}
	}
	return true
}

// query adds to a query what the rules say of the topics that it is about.
func (s ruleset) query(q ReadQuery) ReadQuery {
	q.Keeps = func(topic string) Retention { return s.of(topic).retention() }
	q.Least = s.least(q.Topic)
	return q
}

// least is the shortest that a topic, or any topic that a pattern matches, keeps messages; zero if one keeps none.
func (s ruleset) least(topic string) time.Duration {
	if !isPattern(topic) {
		return s.of(topic).HistoryAge
	}
	least := time.Duration(math.MaxInt64)
	for _, r := range s {
		if r.Pattern != "" && !overlaps(r.Pattern, topic) {
			continue
		}
		if least = min(least, r.HistoryAge); r.Pattern != "" && Covers(r.Pattern, topic) {
			break // as in may
		}
	}
	return least
}

// overlaps reports whether some topic matches both patterns.
func overlaps(a, b string) bool {
	for {
		x, xRest, xMore := strings.Cut(a, ".")
		y, yRest, yMore := strings.Cut(b, ".")
		switch {
		case x == ">" || y == ">":
			return true
		case x != y && x != "*" && y != "*", xMore != yMore:
			return false
		case !xMore:
			return true
		}
		a, b = xRest, yRest
	}
}
