package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"confab/rooms"
	"confab/rooms/bus"
)

// A cluster is this server among others that share its NATS. Nodes is nil where there can be none.
type cluster struct{ nodes *bus.Nodes }

// owners are for rooms.Options: nil where this server runs every room.
func (c cluster) owners() rooms.Owners {
	if c.nodes == nil {
		return nil // and no typed nil
	}
	return c.nodes
}

// links are for signaling.Options: nil where there is no other node.
func (c cluster) links() rooms.Nodes {
	if c.nodes == nil {
		return nil
	}
	return c.nodes
}

// begin lets the cluster act on the rooms of this server. What they cost is told to the others, who give new rooms to the
// one that has least to do: a participant is counted as one, whatever it does.
func (c cluster) begin(registry *rooms.Registry) {
	if c.nodes == nil {
		return
	}
	c.nodes.OnLost(registry.Abandon)
	c.nodes.SetLoad(func() float64 { return float64(registry.Stats().Members) })
}

// drain says that this server is about to end.
func (c cluster) drain() {
	if c.nodes != nil {
		c.nodes.Drain()
	}
}

// leave says that this server runs no room any more.
func (c cluster) leave() {
	if c.nodes != nil {
		c.nodes.Leave()
	}
}

// checkNodes says which other servers use the NATS of the settings.
func checkNodes(ctx context.Context, s *Settings) finding {
	seen, err := bus.SeenNodes(ctx, bus.Options{URL: s.NATS})
	if err != nil {
		return finding{warning, fmt.Sprintf("other nodes could not be listened for: %v", err), "See that NATS lets this machine in."}
	}
	if len(seen) == 0 {
		return finding{fine, "no other node uses this NATS now", ""}
	}
	var names []string
	for _, node := range seen {
		name := node.Name
		if node.Draining {
			name += " (ending)"
		}
		names = append(names, fmt.Sprintf("%s with %.0f participants", name, node.Load))
	}
	return finding{fine, fmt.Sprintf("%d nodes use this NATS: %s", len(seen), strings.Join(names, ", ")), ""}
}

// register has /metrics tell of the cluster.
func (c cluster) register(metrics prometheus.Registerer) error {
	if c.nodes == nil {
		return nil
	}
	gauge := func(name, help string, value func(bus.NodesStats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(c.nodes.Stats()) })
	}
	counter := func(name, help string, value func(bus.NodesStats) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return value(c.nodes.Stats()) })
	}
	for _, collector := range []prometheus.Collector{
		gauge("confab_cluster_nodes", "Nodes that this one sees, itself too.", func(s bus.NodesStats) float64 { return float64(len(s.Nodes)) }),
		gauge("confab_cluster_rooms", "Rooms that this node owns.", func(s bus.NodesStats) float64 { return float64(s.Rooms) }),
		gauge("confab_cluster_links", "Links to other nodes, in both directions.", func(s bus.NodesStats) float64 { return float64(s.Links) }),
		gauge("confab_cluster_lease", "1 while this node may let people into its rooms, 0 when others may take them.", func(s bus.NodesStats) float64 {
			if s.Admits {
				return 1
			}
			return 0
		}),
		counter("confab_cluster_takeovers_total", "Rooms taken from a node that was gone.", func(s bus.NodesStats) float64 { return float64(s.Takeovers) }),
		counter("confab_cluster_losses_total", "Times that this node has lost all its rooms.", func(s bus.NodesStats) float64 { return float64(s.Losses) }),
	} {
		if err := metrics.Register(collector); err != nil {
			return fmt.Errorf("registering the metrics of the cluster: %w", err)
		}
	}
	return nil
}
