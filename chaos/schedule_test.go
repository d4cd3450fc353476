package main

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

func everyKind() []*kind {
	var all []*kind
	for i := range kinds {
		all = append(all, &kinds[i])
	}
	return all
}

// TestSchedule: a seed makes one schedule, with each kind in it, and faults of one target do not overlap.
func TestSchedule(t *testing.T) {
	make := func(seed uint64, o options) []plan {
		return makeSchedule(everyKind(), rand.New(rand.NewPCG(seed, 1)), &o)
	}
	long := options{duration: 5 * time.Minute}
	if !reflect.DeepEqual(make(7, long), make(7, long)) || reflect.DeepEqual(make(7, long), make(8, long)) {
		t.Error("the schedule does not depend on the seed alone")
	}
	early := 0
	for seed := range uint64(50) {
		for _, o := range []options{long, {short: true, duration: time.Second}} {
			count := map[string]int{}
			var length time.Duration
			plans := make(seed, o)
			for i := range plans {
				p := &plans[i]
				count[p.kind.name]++
				length += p.wait + p.hold
				if p.hold < p.kind.min || p.hold > p.kind.max {
					t.Errorf("seed %d: %s lasts %s", seed, p.kind.name, p.hold)
				}
				if !p.early {
					continue
				}
				early++
				before := &plans[i-1]
				if before.kind.of == p.kind.of || before.kind.alone || p.kind.alone || p.wait > before.hold/2 {
					t.Errorf("seed %d: %v overlaps with %v", seed, p, before)
				}
			}
			for i := range kinds {
				if k := &kinds[i]; count[k.name] == 0 && !(o.short && k.long) || o.short && count[k.name] > 1 {
					t.Errorf("seed %d: %s comes %d times", seed, k.name, count[k.name])
				}
			}
			if length > 8*time.Minute {
				t.Errorf("seed %d: the schedule takes %s", seed, length)
			}
		}
	}
	if early == 0 {
		t.Error("no faults overlap")
	}
}

// TestClients: every topic is subscribed and published to, and every kind of a client is there.
func TestClients(t *testing.T) {
	specs, err := makeClients(&options{clients: 300, topics: 50, rate: 100}, rand.New(rand.NewPCG(1, 2)), "ws://x/ws", signer([]byte("secret")))
	if err != nil {
		t.Fatal(err)
	}
	subs, publishers, patterns, patient := map[string]int{}, map[string]int{}, 0, 0
	for _, s := range specs {
		for _, sub := range s.Subs {
			subs[sub.Topic]++
			if len(sub.Covers) > 1 {
				patterns++
			}
		}
		for _, topic := range s.Publish {
			publishers[topic]++
		}
		if s.Patient {
			patient++
		}
		if s.Every != 3000 || s.Token == "" {
			t.Errorf("%+v", s)
		}
	}
	for _, topic := range makeTopics(50) {
		if subs[topic] < 5 || publishers[topic] < 5 {
			t.Errorf("%s has %d subscribers and %d publishers", topic, subs[topic], publishers[topic])
		}
	}
	if len(publishers) != 50 || patterns != 20 || patient != 150 || len(inRoom(specs)) != 30 {
		t.Errorf("%d topics, %d patterns, %d patient, %d in the room", len(publishers), patterns, patient, len(inRoom(specs)))
	}
}
