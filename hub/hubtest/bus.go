package hubtest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/duplex-websocket/duplex/hub"
)

func testCast(k *kit) {
	a, _ := k.attach()
	b, _ := k.attach()
	c, _ := k.attach()
	answers, err := k.broker.Cast(k.ctx, a, "do", []byte("it"))
	var got []string
	for _, answer := range answers {
		got = append(got, string(answer))
	}
	want := []string{fmt.Sprintf("do it %p", b), fmt.Sprintf("do it %p", c)}
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		k.Errorf("others answered %q, %v; want %q", got, err, want)
	}
}

func testCall(k *kit) {
	a, _ := k.attach()
	b, _ := k.attach()
	withdraw, err := k.broker.Offer(b, "sum.*")
	if err != nil {
		k.Fatal(err)
	}
	answer, err := k.broker.Call(k.ctx, a, "sum.up", []byte("1 2"))
	if want := fmt.Sprintf("sum.up 1 2 %p", b); err != nil || string(answer) != want {
		k.Errorf("answered %q, %v; want %q", answer, err, want)
	}
	unknown := func(method string) {
		if _, err := k.broker.Call(k.ctx, a, method, nil); !errors.Is(err, &hub.Error{Code: hub.CodeUnknownMethod}) {
			k.Errorf("%s is answered with %v", method, err)
		}
	}
	unknown("product")
	withdraw()
	unknown("sum.up")
}
