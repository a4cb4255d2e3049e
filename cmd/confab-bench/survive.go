package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"confab/cmd/internal/driver"
)

const (
	surviveClients = 40
	historyPage    = 256
)

// survive is SIGKILL while clients write in a closed loop, a restart on the same folder, and the question which of
// the acknowledged messages are still there. The figure is how many are not.
type survive struct {
	bench  *bench
	target target
	length time.Duration // until the kill
}

func openSurvive(_ context.Context, b *bench, t target) (contest, error) {
	return &survive{b, t, b.windowLength / 4}, nil
}

// diary is what one client knows to be stored.
type diary struct {
	mu    sync.Mutex
	acked map[string]bool // guarded by mu
}

func (c *survive) window(ctx context.Context) (sample, error) {
	s, err := c.target.start(ctx, c.bench.dir, c.bench.secret)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	people, err := crowd(ctx, s, c.bench.secret, surviveClients, "p", roomsOf(1))
	defer part(people)
	if err != nil {
		return sample{}, err
	}
	diaries := make([]*diary, len(people))
	for i, p := range people {
		diaries[i] = write(p)
	}
	time.Sleep(c.length)
	s.kill()
	for _, p := range people {
		<-p.Done()
	}
	start := time.Now()
	if err := s.run(ctx, c.bench.secret); err != nil {
		return sample{}, err
	}
	took := time.Since(start)
	acked, lost := 0, 0
	for i, d := range diaries {
		reader, err := enter(ctx, s, c.bench.secret, "reader"+strconv.Itoa(i))
		if err != nil {
			return sample{}, err
		}
		stored, err := reader.readAll("room-"+strconv.Itoa(i), len(d.acked))
		reader.Bye()
		if err != nil {
			return sample{}, err
		}
		for id := range d.acked {
			acked++
			if !stored[id] {
				lost++
			}
		}
	}
	note := fmt.Sprintf("of %d acknowledged; serves again after %.2f s", acked, took.Seconds())
	return sample{figure: float64(lost), ops: acked, note: note}, nil
}

// write makes p write in a closed loop and notes what is acknowledged. It stops well before the log, which keeps
// wire.RecordsPerMessage times the window, would drop the oldest.
func write(p *person) *diary {
	d := &diary{acked: make(map[string]bool)}
	p.Listen(func(line []byte) {
		if !driver.IsKind(line, driver.KindAck) {
			return
		}
		if id := string(driver.IDOf(line)); id != "" {
			d.mu.Lock()
			d.acked[id] = true
			n := len(d.acked)
			d.mu.Unlock()
			if n < 3*historyPage {
				_ = p.Write(p.NextChat()) // an error means that the server was killed
			}
		}
	})
	_ = p.Write(p.NextChat())
	return d
}

// readAll joins a room and pages back until it has as many messages as there should be, or there are no more. It
// returns the ids of all.
func (p *person) readAll(room string, enough int) (map[string]bool, error) {
	type message struct {
		ID  string `json:"id"`
		Seq uint64 `json:"seq"`
	}
	line, err := p.Ask(p.JoinRequest(room, false), "joined")
	if err != nil {
		return nil, err
	}
	var joined struct {
		Data struct {
			History []message `json:"history"`
			More    bool      `json:"more"`
		} `json:"data"`
	}
	if err := json.Unmarshal(line, &joined); err != nil {
		return nil, err
	}
	stored := make(map[string]bool)
	messages, more := joined.Data.History, joined.Data.More
	for {
		for _, m := range messages {
			stored[m.ID] = true
		}
		if len(messages) == 0 || !more || len(stored) > enough {
			return stored, nil
		}
		line, err := p.Ask(fmt.Appendf(nil, `{"type":"history","id":"page","room":%q,"data":{"before":%d,"limit":%d}}`,
			room, messages[0].Seq, historyPage), "history")
		if err != nil {
			return nil, err
		}
		var page struct {
			Data struct {
				Messages []message `json:"messages"`
				More     bool      `json:"more"`
			} `json:"data"`
		}
		if err := json.Unmarshal(line, &page); err != nil {
			return nil, err
		}
		messages, more = page.Data.Messages, page.Data.More
	}
}

func (c *survive) close() {}
