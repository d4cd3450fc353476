package hubtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

func testPresence(k *kit) {
	a, _ := k.watch("t")
	b, _ := k.watch("t")
	enter := func(n *node, user, info string) {
		if err := k.broker.Enter(k.ctx, n, "t", hub.Publisher{User: user, Info: []byte(info)}, false); err != nil {
			k.Fatal(err)
		}
	}
	leave := func(n *node, user string) {
		if err := k.broker.Leave(k.ctx, n, "t", user); err != nil {
			k.Fatal(err)
		}
	}
	enter(a, "ann", `{"v":1}`)
	for _, n := range []*node{a, b} {
		k.wait(n, "a join", func() bool { return slices.Equal(n.presence, []string{"t ann true"}) })
	}
	enter(a, "ann", `{"v":2}`)
	enter(b, "ann", `{"v":3}`)
	enter(b, "bob", "")
	want := []string{"t ann true", "t bob true"}
	for _, n := range []*node{a, b} {
		k.wait(n, "two joins", func() bool { return slices.Equal(n.presence, want) })
	}
	p, err := k.broker.Present(k.ctx, "t", 10)
	if err != nil || p.Count != 2 || p.Connections != 4 || len(p.Users) != 2 || p.Users[0].User != "ann" || p.Users[0].Connections != 3 || string(p.Users[0].Info) != `{"v":3}` {
		k.Errorf("present are %+v, %v", p, err)
	}
	if p, err := k.broker.Present(k.ctx, "t.other", 10); err != nil || p.Count != 0 {
		k.Errorf("present in another topic are %+v, %v", p, err)
	}
	if p, err := k.broker.Present(k.ctx, "t", 1); err != nil || p.Count != 2 || len(p.Users) != 1 {
		k.Errorf("at most one of those present: %+v, %v", p, err)
	}
	leave(a, "ann")
	leave(b, "ann")
	leave(b, "bob")
	leave(b, "nobody")
	want = append(want, "t bob false")
	k.wait(a, "a leave", func() bool { return slices.Equal(a.presence, want) })
	leave(a, "ann")
	want = append(want, "t ann false")
	k.wait(b, "the last leave", func() bool { return slices.Equal(b.presence, want) })
	if p, err := k.broker.Present(k.ctx, "t", 10); err != nil || p.Count != 0 || p.Connections != 0 || len(p.Users) != 0 {
		k.Errorf("afterwards: %+v, %v", p, err)
	}
	if kept, err := k.broker.Renew(k.ctx, a); err != nil || !kept {
		k.Errorf("renewing: %v, %v", kept, err)
	}
}

// Who watches later is told of what changes from then on.
func testPresenceOfLatecomers(k *kit) {
	a, _ := k.watch("t")
	enter := func(n *node, topic, user string) {
		if err := k.broker.Enter(k.ctx, n, topic, hub.Publisher{User: user}, false); err != nil {
			k.Fatal(err)
		}
	}
	strange := "ann *>.\u00fc\u2028" // users are any text
	enter(a, "t", strange)
	k.wait(a, "a join", func() bool { return len(a.presence) == 1 })
	b, _ := k.watch("t")
	enter(b, "t", strange)
	enter(a, "t.u", "bob")
	enter(a, "t", "cid")
	k.wait(b, "a join", func() bool { return slices.Equal(b.presence, []string{"t cid true"}) })
	k.broker.Unwatch(b, "t")
	p, err := k.broker.Present(k.ctx, "t", 10)
	if err != nil || p.Count != 2 || p.Connections != 3 || p.Users[0].User != strange {
		k.Errorf("present are %+v, %v", p, err)
	}
}

// Of those who are only counted, it is known about how many there are.
func testCounted(k *kit) {
	a, _ := k.attach()
	b, detach := k.attach()
	for i, n := range []*node{a, b, a, b, a, b} {
		if err := k.broker.Enter(k.ctx, n, "t", hub.Publisher{User: fmt.Sprint(i / 2)}, true); err != nil {
			k.Fatal(err)
		}
	}
	present := func(connections, least, most int) {
		k.Helper()
		var p hub.Present
		for {
			var err error
			if p, err = k.broker.Present(k.ctx, "t", 0); err != nil {
				k.Fatalf("present are %+v, %v", p, err)
			}
			if p.Connections == connections && p.Count >= least && p.Count <= most {
				return
			}
			if k.ctx.Err() != nil {
				k.Fatalf("present are %+v, not %d connections", p, connections)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	present(6, 3, 6)
	if err := k.broker.Leave(k.ctx, a, "t", "0"); err != nil {
		k.Fatal(err)
	}
	present(5, 3, 5)
	detach()
	present(2, 2, 2)
}

func testNodeLeaves(k *kit) {
	a, _ := k.watch("t")
	b, detach := k.watch("t")
	for _, user := range []string{"ann", "bob"} {
		if err := k.broker.Enter(k.ctx, b, "t", hub.Publisher{User: user}, false); err != nil {
			k.Fatal(err)
		}
	}
	if err := k.broker.Enter(k.ctx, a, "t", hub.Publisher{User: "ann"}, false); err != nil {
		k.Fatal(err)
	}
	detach()
	k.wait(a, "a leave", func() bool { return slices.Contains(a.presence, "t bob false") })
	p, err := k.broker.Present(k.ctx, "t", 10)
	if err != nil || p.Count != 1 || p.Connections != 1 {
		k.Errorf("present are %+v, %v", p, err)
	}
}
