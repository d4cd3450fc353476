package natsserver

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// watch tells of nodes that go and come, and starts the server anew when it could not write to its disk, until ctx ends.
func (s *Server) watch(ctx context.Context) {
	defer close(s.watched)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var gone []string
	var tried time.Time // when it was started anew, or that failed
	for {
		var failed <-chan string
		if log := s.currentLog(); log != nil {
			failed = log.failed
		}
		select {
		case <-ctx.Done():
			return
		case <-failed:
			s.giveUp()
		case <-tick.C:
		}
		ns := s.current()
		switch {
		case ns == nil && time.Since(tried) > retryEvery:
			s.revive(ctx)
			tried = time.Now()
		case ns != nil && !ns.JetStreamEnabled():
			s.giveUp()
		case ns != nil:
			gone = s.report(ns, gone)
		}
	}
}

// currentLog is the logger of the nats-server that runs, or nil.
func (s *Server) currentLog() *logger {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nats == nil {
		return nil
	}
	return s.natsLog
}

func (s *Server) current() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats
}

var errNoWrite = errors.New("the embedded NATS server could not write its data, and does not store anything until it can")

// giveUp ends a nats-server that has stopped storing messages: it would not begin again by itself.
func (s *Server) giveUp() {
	trouble := s.dir.probe()
	if trouble == nil {
		trouble = errNoWrite
	}
	s.log.Error("messages cannot be stored", "error", trouble)
	s.halt(trouble)
}

// revive starts the server again if there is a chance.
func (s *Server) revive(ctx context.Context) {
	if err := s.boot(ctx); err != nil {
		s.log.Debug("messages still cannot be stored", "error", err)
		s.mu.Lock()
		s.trouble = err
		s.mu.Unlock()
		return
	}
	s.log.Info("messages can be stored again")
}

// report tells what has changed among the other nodes, and returns those that are gone.
func (s *Server) report(ns *server.Server, gone []string) []string {
	missing := s.missing(ns)
	for _, peer := range missing {
		if !slices.Contains(gone, peer) {
			s.log.Warn("there is no connection with a node of the cluster", "node", peer)
		}
	}
	for _, peer := range gone {
		if !slices.Contains(missing, peer) {
			s.log.Info("there is a connection with a node of the cluster", "node", peer)
		}
	}
	return missing
}
