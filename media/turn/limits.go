package turn

import (
	"cmp"
	"time"
)

// Limits bound what a server and its clients may hold. A field that is 0 takes the default named beside it.
type Limits struct {
	Allocations    int           // 512 at a time; beyond it a client is told that the quota is reached
	PerParticipant int           // 24 of them; the same
	BitsPerSecond  int           // 4 Mbit/s of payload, each way of one allocation; packets beyond it are dropped
	Permissions    int           // 64 addresses that one allocation may send to; beyond it they are refused
	Channels       int           // 128 channels of one allocation; beyond it no permission is given
	Idle           time.Duration // 11 min: how long an allocation lives after its client last proved who it is, whatever it asked for; Options.TTL if that is shorter
	Conns          int           // 1024 connections of each TCP and TLS port; beyond it they are closed
	Silence        time.Duration // 30 s: how long a connection without an allocation may say nothing
	ConnsPerSource int           // 64 of them from one IPv4 address or IPv6 /64, which an office may share; the same
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Allocations:    cmp.Or(l.Allocations, 512),
		PerParticipant: cmp.Or(l.PerParticipant, 24),
		BitsPerSecond:  cmp.Or(l.BitsPerSecond, 4_000_000),
		Permissions:    cmp.Or(l.Permissions, 64),
		Channels:       cmp.Or(l.Channels, 128),
		Idle:           cmp.Or(l.Idle, 11*time.Minute),
		Conns:          cmp.Or(l.Conns, 1024),
		Silence:        cmp.Or(l.Silence, 30*time.Second),
		ConnsPerSource: cmp.Or(l.ConnsPerSource, 64),
	}
}

const (
	defaultTTL         = time.Hour
	allocationLifetime = 10 * time.Minute // RFC 8656 section 3.2

	maxMessage  = 1599             // bytes of one message or channel's data; pion takes no longer ones
	burst       = time.Second / 4  // of an allocation's rate, sent at once: a key frame
	streamWrite = 10 * time.Second // for one write to a client that takes nothing
	hostRefresh = 10 * time.Second // between two looks at the addresses of this host
)
