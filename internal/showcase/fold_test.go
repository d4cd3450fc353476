package showcase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const kept = 1500 // messages, more than one page of history has

func openHub(t *testing.T, broker hub.Broker) *hub.Hub {
	t.Helper()
	h, err := hub.New(hub.Options{Broker: broker, Logger: slog.New(slog.DiscardHandler), Topics: []hub.Rule{
		{Pattern: ">", TopicOptions: hub.TopicOptions{HistoryMessages: kept}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func joining() *Fold[string] {
	return &Fold[string]{Apply: func(s string, m *hub.Message) string { return s + string(m.Data) }}
}

func TestFold(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	one, two := openHub(t, broker), openHub(t, broker)
	fold, other := joining(), joining()
	check := func(h *hub.Hub, f *Fold[string], topic, want string) {
		t.Helper()
		got, some, err := f.State(t.Context(), h, topic)
		if got != want || some != (want != "") || err != nil {
			t.Fatalf("%q (%v, %v), want %q", got, some, err, want)
		}
	}
	check(one, fold, "none", "")
	if _, known := fold.Known("none"); known || len(fold.topics) > 0 {
		t.Error("a topic that there is not is remembered")
	}
	want := ""
	for i := range kept {
		if _, err := JSON(t.Context(), one, "x", "", i%10); err != nil {
			t.Fatal(err)
		}
		want += fmt.Sprint(i % 10)
		if i%500 == 3 {
			check(two, other, "x", want) // in between
		}
	}
	check(one, fold, "x", want)
	check(two, other, "x", want)
	if got, known := fold.Known("x"); got != want || !known {
		t.Error("it is not remembered")
	}
	// The broker forgets everything; the same fold begins anew.
	again := openHub(t, hub.NewMemoryBroker(hub.MemoryOptions{}))
	check(again, fold, "x", "")
	if _, err := JSON(t.Context(), again, "x", "", 7); err != nil {
		t.Fatal(err)
	}
	check(again, fold, "x", "7")
}

func TestFoldAtOnce(t *testing.T) {
	h, fold := openHub(t, nil), joining()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if _, err := JSON(t.Context(), h, "x", "", 1); err != nil {
					t.Error(err)
				}
				if s, _, err := fold.State(t.Context(), h, "x"); err != nil || s == "" {
					t.Errorf("%q, %v", s, err)
				}
			}
		})
	}
	all.Wait()
	if s, _, err := fold.State(t.Context(), h, "x"); len(s) != 400 || err != nil {
		t.Errorf("%d messages, want 400; %v", len(s), err)
	}
}

func TestIndex(t *testing.T) {
	broker := hub.NewMemoryBroker(hub.MemoryOptions{})
	var mu sync.Mutex
	changed := make(map[string]int)
	open := func() *Index[int] {
		x := &Index[int]{Name: "test", Life: time.Hour, Changed: func(key string, value int) {
			mu.Lock()
			defer mu.Unlock()
			changed[key] = value
		}}
		x.Open(t.Context(), openHub(t, broker))
		return x
	}
	one, two := open(), open()
	put := func(x *Index[int], key string, value int) {
		t.Helper()
		if err := x.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
		for _, each := range []*Index[int]{one, two} {
			if got, known, err := each.Get(t.Context(), key); got != value || !known || err != nil {
				t.Fatalf("%s is %d (%v, %v), want %d", key, got, known, err, value)
			}
		}
	}
	put(one, "a", 1)
	put(two, "b", 2)
	put(one, "b", 3)
	put(two, "b", 4)
	later := open() // as after a restart
	all, err := later.All(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("after a restart: %+v, %v", all, err)
	}
	if _, known, _ := later.Get(t.Context(), "c"); known {
		t.Error("there is what nobody has put there")
	}
	mu.Lock()
	defer mu.Unlock()
	if changed["a"] != 1 || changed["b"] != 4 {
		t.Errorf("told: %v", changed)
	}
}

func TestIndexForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := hub.NewMemoryBroker(hub.MemoryOptions{})
		x := &Index[int]{Name: "test", Life: time.Hour}
		x.Open(t.Context(), openHub(t, broker))
		for i, key := range []string{"old", "new"} {
			time.Sleep(time.Duration(i) * 45 * time.Minute)
			if err := x.Put(t.Context(), key, i); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Minute)
		_, old, _ := x.Get(t.Context(), "old")
		if all, err := x.All(t.Context()); old || len(all) != 1 || all[0].Key != "new" || err != nil {
			t.Errorf("old is there: %v; all: %+v, %v", old, all, err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := (&Index[int]{}).All(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("before it is open: %v", err)
		}
	})
}
