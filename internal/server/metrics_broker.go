package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/duplex-websocket/duplex/hub"
)

// BrokerFigures are what a broker outside of the hub's memory can tell without asking anybody.
type BrokerFigures struct {
	Connected bool   // messages can be stored and come in, as far as is known here
	Bytes     uint64 // of messages stored on this machine
	Limit     uint64 // of Bytes; 0: not known
}

// Figures is a broker that has some.
type Figures interface{ Figures() BrokerFigures }

// brokerCollector asks the broker for its figures whenever they are scraped. It implements prometheus.Collector.
type brokerCollector struct{ broker Figures }

var _ prometheus.Collector = (*brokerCollector)(nil)

var (
	brokerUp    = prometheus.NewDesc("duplex_broker_up", "1 if messages can be stored and come from other servers, else 0.", nil, nil)
	brokerBytes = prometheus.NewDesc("duplex_broker_store_bytes", "Bytes of the messages stored in the data directory.", nil, nil)
	brokerLimit = prometheus.NewDesc("duplex_broker_store_limit_bytes", "How many there can be.", nil, nil)
)

func (c *brokerCollector) Describe(out chan<- *prometheus.Desc) {
	out <- brokerUp
	out <- brokerBytes
	out <- brokerLimit
}

func (c *brokerCollector) Collect(out chan<- prometheus.Metric) {
	f := c.broker.Figures()
	up := 0.0
	if f.Connected {
		up = 1
	}
	out <- prometheus.MustNewConstMetric(brokerUp, prometheus.GaugeValue, up)
	if f.Limit > 0 {
		out <- prometheus.MustNewConstMetric(brokerBytes, prometheus.GaugeValue, float64(f.Bytes))
		out <- prometheus.MustNewConstMetric(brokerLimit, prometheus.GaugeValue, float64(f.Limit))
	}
}

// watchBroker adds the figures of a broker that has some.
func (m *metrics) watchBroker(b hub.Broker) {
	if f, has := b.(Figures); has {
		m.registry.MustRegister(&brokerCollector{f})
	}
}
