package natsbroker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/duplex-websocket/duplex/hub"
)

var writeStore = flag.String("write-store", "", "keep the data of this version in a file below testdata, such as store-0.2.0.tar.gz; once for each release")

// longLived outlasts the repository.
var longLived = hub.Retention{Messages: 100, Age: 200 * 365 * 24 * time.Hour, Bytes: 1 << 20, Window: time.Minute, WindowIDs: 100}

var kept = []*hub.Message{
	{Topic: "chat.lobby", From: hub.Publisher{User: "ann", Info: []byte(`{"name":"Ann"}`)}, ID: "m1", Data: []byte(`"hello"`)},
	{Topic: "chat.lobby", From: hub.Publisher{User: "bob"}, Data: []byte{0, 1, 255}, Binary: true, Meta: []byte(`{"type":"image/png"}`)},
	{Topic: "quotes.ACME", Key: "ACME", Data: []byte(`12.5`)},
	{Topic: "chat.lobby", From: hub.Publisher{User: "ann"}, ID: "m2", Except: "s1", Data: []byte(`"bye"`)},
}

// What a release has stored, the next one reads: with the same positions, and nothing lost.
func TestUpgrade(t *testing.T) {
	if *writeStore != "" {
		packStore(t, filepath.Join("testdata", *writeStore))
	}
	stores, err := filepath.Glob("testdata/store-*.tar.gz")
	if err != nil || len(stores) == 0 {
		t.Fatal("there is no data of a release", err)
	}
	for _, file := range stores {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, file, dir)
			b := openBroker(t, Options{}, startServer(t, server.Options{StoreDir: dir}))
			q := hub.ReadQuery{
				Topic: ">", Since: &hub.Position{Epoch: b.stream.config.Load().epoch, Offset: 1},
				Least: longLived.Age, Keeps: func(string) hub.Retention { return longLived },
			}
			log, err := b.Read(t.Context(), q)
			if err != nil || len(log.Messages) != len(kept) {
				t.Fatalf("read %d messages, lost up to %v, %v", len(log.Messages), log.Lost, err)
			}
			for i, m := range log.Messages {
				want := kept[i]
				if m.Topic != want.Topic || m.From.User != want.From.User || !bytes.Equal(m.From.Info, want.From.Info) || m.ID != want.ID || m.Key != want.Key ||
					!bytes.Equal(m.Data, want.Data) || m.Binary != want.Binary || !bytes.Equal(m.Meta, want.Meta) || m.Except != want.Except {
					t.Errorf("message %d is read as %+v", i, m)
				}
			}
			q.Topic, q.Since.Offset = "chat.lobby", log.Messages[0].Offset
			if log, err = b.Read(t.Context(), q); err != nil || len(log.Messages) != 2 || !log.Lost.IsZero() {
				t.Errorf("resumed with %d messages, lost up to %v, %v", len(log.Messages), log.Lost, err)
			}
			publish(t, b, "chat.lobby", "new")
		})
	}
}

// packStore makes a store with this version and keeps it.
func packStore(t *testing.T, file string) {
	t.Helper()
	dir := t.TempDir()
	s := startServer(t, server.Options{StoreDir: dir})
	b := openBroker(t, Options{}, s)
	for _, m := range kept {
		if _, err := b.Publish(t.Context(), &hub.Message{
			Topic: m.Topic, From: m.From, ID: m.ID, Key: m.Key, Data: m.Data, Binary: m.Binary, Meta: m.Meta, Except: m.Except,
		}, longLived); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	stop(s)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zip)
	if err := archive.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Close(), zip.Close(), os.WriteFile(file, packed.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, file, dir string) {
	t.Helper()
	packed, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	zip, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(zip); ; {
		entry, err := archive.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry.FileInfo().IsDir() {
			continue
		}
		path := filepath.Join(dir, entry.Name)
		data, err := io.ReadAll(archive)
		if err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, fs.FileMode(0o644)); err != nil {
			t.Fatal(err)
		}
	}
}
