package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/duplex-websocket/duplex/bench/figures"
)

// How fast latency and growth are measured: latency so that nothing waits for a processor for long, growth as on a busy cluster, where
// messages share the cost of waking somebody up.
const (
	latencyRate = 500
	paced       = 64 // publishers that keep to a rate

	growthInFlight = 256
)

// system measures what there is to measure of one system.
func (p clusterPlan) system(f *figures.Figures, system string) error {
	started, err := p.startNodes(system)
	if err != nil {
		return err
	}
	defer stopNodes(started)
	all := nodes(started)
	for _, measure := range []func(*figures.Figures, string, nodes) error{p.publish, p.latency, p.growth, p.local, p.resume, p.memory} {
		if err := measure(f, system, all); err != nil {
			return err
		}
	}
	return nil
}

func (p clusterPlan) millis() int { return int(p.duration.Milliseconds()) }

// once publishes at the first node, and returns CPU time for each publication.
func (all nodes) once(c nodeCommand, subscribers ...int) (cpu float64, published nodeAnswer, answers []nodeAnswer, err error) {
	if _, _, err = all.usage(); err != nil {
		return 0, published, nil, err
	}
	c.Do, c.Topics = "publish", clusterTopics
	if published, err = all[0].do(c); err != nil {
		return 0, published, nil, err
	}
	expected := make([]int, len(subscribers))
	for i, n := range subscribers {
		expected[i] = n * published.Count
	}
	cpu, answers, err = all.usage(expected...)
	return cpu / float64(published.Count), published, answers, err
}

// publish measures acknowledged publications.
func (p clusterPlan) publish(f *figures.Figures, system string, all nodes) error {
	for _, inFlight := range []int{1, 64, 1000} {
		var rounds []figures.Publish
		for range p.rounds {
			cpu, a, _, err := all.once(nodeCommand{InFlight: inFlight, Millis: p.millis(), Kept: true})
			if err != nil {
				return err
			}
			rounds = append(rounds, figures.Publish{System: system, InFlight: inFlight, Rate: float64(a.Count) / a.Seconds, CPU: cpu, P50: a.P50, P99: a.P99})
		}
		r := middle(rounds, func(r figures.Publish) float64 { return r.CPU })
		p.say("%-6s publish, %4d in flight: %7.0f a second, %6.0f ns, p50 %6.0f us, p99 %6.0f us", system, inFlight, r.Rate, r.CPU, r.P50, r.P99)
		f.Publish = append(f.Publish, r)
	}
	return nil
}

// middle returns the round with the median.
func middle[R any](rounds []R, by func(R) float64) R {
	slices.SortFunc(rounds, func(a, b R) int { return cmp.Compare(by(a), by(b)) })
	return rounds[len(rounds)/2]
}

// latency measures the way to a subscriber at the same node and at another.
func (p clusterPlan) latency(f *figures.Figures, system string, all nodes) error {
	for _, kept := range []bool{true, false} {
		held := min(2, len(all))
		for _, n := range all[:held] {
			if _, err := n.do(nodeCommand{Do: "subscribe", Topics: clusterTopics, Each: 1, Kept: kept}); err != nil {
				return err
			}
		}
		_, _, answers, err := all.once(nodeCommand{InFlight: paced, Rate: latencyRate, Millis: 4 * p.millis(), Kept: kept}, slices.Repeat([]int{1}, held)...)
		if err != nil {
			return err
		}
		for i, where := range []string{"same node", "another node"}[:held] {
			r := figures.Latency{System: system, Kept: kept, Where: where, P50: answers[i].P50, P99: answers[i].P99}
			p.say("%-6s latency, kept %v, %s: p50 %6.0f us, p99 %6.0f us", system, kept, where, r.P50, r.P99)
			f.Latency = append(f.Latency, r)
		}
		if err := all.each(nodeCommand{Do: "clear"}); err != nil {
			return err
		}
	}
	return nil
}

// growth measures what a publication costs when more nodes hold subscribers.
func (p clusterPlan) growth(f *figures.Figures, system string, all nodes) error {
	for _, kept := range []bool{true, false} {
		for held := range len(all) + 1 {
			if held > 0 {
				if _, err := all[held-1].do(nodeCommand{Do: "subscribe", Topics: clusterTopics, Each: 1, Kept: kept}); err != nil {
					return err
				}
			}
			var rounds []float64
			c := nodeCommand{InFlight: growthInFlight, Millis: p.millis(), Kept: kept}
			if !kept { // nothing is acknowledged that could hold the publisher back
				c.InFlight, c.Rate = paced, p.growthRate
			}
			for range 2*p.rounds - 1 { // they differ little from one number of nodes to the next
				cpu, _, _, err := all.once(c, slices.Repeat([]int{1}, held)...)
				if err != nil {
					return err
				}
				rounds = append(rounds, cpu)
			}
			r := figures.Growth{System: system, Kept: kept, Nodes: held, CPU: middle(rounds, func(v float64) float64 { return v })}
			p.say("%-6s growth, kept %v, %d nodes: %6.0f ns", system, kept, held, r.CPU)
			f.Growth = append(f.Growth, r)
		}
		if err := all.each(nodeCommand{Do: "clear"}); err != nil {
			return err
		}
	}
	return nil
}

// local measures one more subscriber of the same node, in the memory broker's hub.
func (p clusterPlan) local(f *figures.Figures, system string, all nodes) error {
	if system != figures.Memory0 {
		return nil
	}
	const few, many = 10, 110
	var cost [2]float64
	for i, each := range []int{few, many} {
		if _, err := all[0].do(nodeCommand{Do: "subscribe", Topics: clusterTopics, Each: each}); err != nil {
			return err
		}
		var rounds []float64
		for range p.rounds {
			// Without the time in the data: the clock would be read for each delivery.
			cpu, _, _, err := all.once(nodeCommand{InFlight: 1, Millis: p.millis()}, each)
			if err != nil {
				return err
			}
			rounds = append(rounds, cpu)
		}
		cost[i] = middle(rounds, func(v float64) float64 { return v })
		if err := all.each(nodeCommand{Do: "clear"}); err != nil {
			return err
		}
	}
	f.Local.CPU = (cost[1] - cost[0]) / (many - few)
	p.say("one more subscriber here: %.0f ns", f.Local.CPU)
	return nil
}

// resume measures subscribers that come back, all at once, to a node that follows none of their topics.
func (p clusterPlan) resume(f *figures.Figures, system string, all nodes) error {
	const missed = 10
	topics := p.subs / 20
	for each := 0; each <= missed; {
		a, err := all[0].do(nodeCommand{Do: "publish", Topics: topics, InFlight: 500, Millis: p.millis(), Kept: true})
		if err != nil {
			return err
		}
		each += a.Count / topics
	}
	last := all[len(all)-1]
	for _, m := range []int{0, missed} {
		c := nodeCommand{Topics: topics, Clients: p.subs / 4, Missed: m, Kept: true}
		c.Do = "prepare"
		if _, err := last.do(c); err != nil {
			return err
		}
		if _, _, err := all.usage(); err != nil {
			return err
		}
		c.Do = "resume"
		a, err := last.do(c)
		if err != nil {
			return err
		}
		expected := make([]int, len(all))
		expected[len(all)-1] = c.Clients * m
		cpu, _, err := all.usage(expected...)
		if err != nil {
			return err
		}
		r := figures.Resume{System: system, Clients: c.Clients, Topics: c.Topics, Missed: m, Seconds: a.Seconds, CPU: cpu / float64(c.Clients)}
		p.say("%-6s resume of %d with %d missed: %.2f s, %.0f ns each", system, r.Clients, m, r.Seconds, r.CPU)
		f.Resume = append(f.Resume, r)
		if err := all.each(nodeCommand{Do: "clear"}); err != nil {
			return err
		}
	}
	return nil
}

// memory measures what subscribers and followed topics hold: as many subscribers of one topic, and of a topic each.
func (p clusterPlan) memory(f *figures.Figures, system string, all nodes) error {
	grow := func(topics, each int) (bytes []float64, cpu float64, err error) {
		_, before, err := all.usage()
		if err != nil {
			return nil, 0, err
		}
		if _, err = all[0].do(nodeCommand{Do: "subscribe", Topics: topics, Each: each, Kept: true}); err != nil {
			return nil, 0, err
		}
		cpu, after, err := all.usage()
		if err != nil {
			return nil, 0, err
		}
		for i := range after {
			bytes = append(bytes, float64(after[i].Heap-before[i].Heap)/float64(topics*each))
		}
		return bytes, cpu / float64(topics*each), all.each(nodeCommand{Do: "clear"})
	}
	same, _, err := grow(1, p.subs)
	if err != nil {
		return err
	}
	own, cpu, err := grow(p.subs, 1)
	if err != nil {
		return err
	}
	m := &f.Memory
	switch system {
	case figures.Memory0:
		m.Subscription, m.FollowMemory = same[0], own[0]-same[0]
	case figures.One:
		m.FollowOne = own[0] - same[0]
	default:
		m.FollowThree, m.FollowPeer, m.FollowCPU = own[0]-same[0], (own[1]+own[2])/2, cpu
	}
	p.say("%-6s memory: %.0f bytes a subscriber, %s a topic", system, same[0], fmt.Sprint(own))
	return nil
}
