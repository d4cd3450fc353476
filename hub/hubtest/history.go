package hubtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

func testRetentionByCount(k *kit) {
	r := plenty
	r.Messages = 3
	base := k.publish("other", "0", r).Position
	var at []hub.Position
	for i := range 5 {
		at = append(at, k.publish("t", fmt.Sprint(i), r).Position)
	}
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &base}), at[1].Offset, false, "2", "3", "4")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &at[0]}), at[1].Offset, false, "2", "3", "4")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &at[1]}), 0, false, "2", "3", "4")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &at[3]}), 0, false, "4")
	log := k.read(hub.ReadQuery{Topic: "t", Since: &at[4]})
	k.expect(log, 0, false)
	if log.Top.Epoch != base.Epoch || log.Top.Offset < at[4].Offset {
		k.Errorf("top is %v", log.Top)
	}
	k.expect(k.read(hub.ReadQuery{Topic: "never", Since: &base}), 0, false)
}

func testRetentionByAge(k *kit) {
	r := plenty
	r.Age = 2 * time.Second
	base := k.publish("other", "0", plenty).Position
	first := k.publish("t", "1", r).Position
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &base}), 0, false, "1")
	var log hub.Log
	for log.Lost.IsZero() {
		if log = k.read(hub.ReadQuery{Topic: "t", Since: &base}); k.ctx.Err() != nil {
			k.Fatal("an old message is kept")
		}
		time.Sleep(10 * time.Millisecond)
	}
	k.expect(log, first.Offset, false)
	second := k.publish("t", "2", r).Position
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &base}), first.Offset, false, "2")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &first}), 0, false, "2")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Since: &second}), 0, false)
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 10}), 0, false, "2")
}

func testRetentionByBytes(k *kit) {
	r := plenty
	r.Bytes = 64 << 10
	big := string(make([]byte, 20<<10))
	base := k.publish("t", "small", r).Position
	for range 5 {
		k.publish("t", big, r)
	}
	log := k.read(hub.ReadQuery{Topic: "t", Since: &base})
	if n := len(log.Messages); n == 0 || n > 3 || log.Lost.IsZero() {
		k.Errorf("%d messages of 20 KiB are kept in 64 KiB; lost up to %v", n, log.Lost)
	}
}

func testNothingKept(k *kit) {
	a, _ := k.attach("t")
	r := hub.Retention{Window: time.Minute, WindowIDs: 10}
	base := k.publish("kept", "0", plenty).Position
	at := k.publish("t", "1", r).Position
	k.wait(a, "a message", func() bool { return len(a.messages) == 1 })
	if log := k.read(hub.ReadQuery{Topic: "t", Since: &base}); len(log.Messages) > 0 || log.Lost.Offset < at.Offset {
		k.Errorf("read %+v, but what was published until %d has been lost", log, at.Offset)
	}
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 10}), 0, false)
	publish := func() hub.Receipt { return k.publishMessage(&hub.Message{Topic: "t", ID: "x", Data: []byte("2")}, r) }
	publish()
	if again := publish(); !again.Duplicate {
		k.Errorf("a retry is answered with %+v", again)
	}
	k.publish("t", "3", r)
	k.wait(a, "the last message", func() bool { return len(a.messages) == 3 })
}

func testPages(k *kit) {
	var at []uint64
	for i := range 10 {
		at = append(at, k.publish("t", fmt.Sprint(i), plenty).Offset)
		k.publish("u", "x", plenty)
	}
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 3}), 0, true, "7", "8", "9")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 3, Before: at[7]}), 0, true, "4", "5", "6")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 4, Before: at[4]}), 0, false, "0", "1", "2", "3")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 3, Forward: true, After: at[2]}), 0, true, "3", "4", "5")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 3, Forward: true, After: at[6]}), 0, false, "7", "8", "9")
	k.expect(k.read(hub.ReadQuery{Topic: "t", Limit: 0}), 0, true)
}

func testPatterns(k *kit) {
	short := plenty
	short.Messages = 1
	base := k.publish("a.x", "1", plenty).Position
	k.publish("a.y", "2", plenty)
	k.publish("b.x", "3", plenty)
	k.publish("a.x.deep", "4", plenty)
	k.publish("a.x", "5", plenty)
	k.expect(k.read(hub.ReadQuery{Topic: "a.*", Since: &base}), 0, false, "2", "5")
	k.expect(k.read(hub.ReadQuery{Topic: "a.>", Since: &base}), 0, false, "2", "4", "5")
	k.expect(k.read(hub.ReadQuery{Topic: "*.x", Limit: 2}), 0, true, "3", "5")
	lost := k.publish("a.z", "6", short)
	k.publish("a.z", "7", short)
	log := k.read(hub.ReadQuery{Topic: "a.*", Since: &base})
	k.expect(log, lost.Offset, false, "2", "5", "7")
	if log.LostTopic != "a.z" && log.LostTopic != "" {
		k.Errorf("lost of topic %q", log.LostTopic)
	}
}

func testOtherEpoch(k *kit) {
	k.publish("t", "1", plenty)
	k.publish("t", "2", plenty)
	log := k.read(hub.ReadQuery{Topic: "t", Since: &hub.Position{Epoch: "another", Offset: 1 << 40}})
	k.expect(log, 0, false, "1", "2")
	if log.Top.Epoch == "another" {
		k.Error("took over a foreign epoch")
	}
}

// What is read up to Top, and what is delivered behind it, is everything.
func testReadingWhilePublishing(k *kit) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			m := &hub.Message{Topic: fmt.Sprintf("t.%d", i%5), Data: fmt.Append(nil, i)}
			if _, err := k.broker.Publish(k.ctx, m, plenty); err != nil {
				k.Errorf("message %d: %v", i, err)
				return
			}
		}
	}()
	defer func() { <-done }()
	random := rand.New(rand.NewPCG(1, 2))
	since := hub.Position{Epoch: k.read(hub.ReadQuery{Topic: "t.*"}).Top.Epoch}
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		n, detach := k.attach("t.*")
		log := k.read(hub.ReadQuery{Topic: "t.*", Since: &since})
		all := texts(log.Messages)
		time.Sleep(time.Duration(random.IntN(100)) * time.Microsecond) // lets some more come, or none
		n.mu.Lock()
		for _, m := range n.messages {
			if m.Offset > log.Top.Offset {
				all = append(all, string(m.Data))
			}
		}
		n.mu.Unlock()
		detach()
		for i, text := range all {
			if text != fmt.Sprint(i) {
				k.Fatalf("message %d is %s", i, text)
			}
		}
	}
}
