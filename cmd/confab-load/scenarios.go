package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"confab/cmd/internal/driver"
)

// arrival is how long what was sent has to arrive, after the last of it.
const arrival = 10 * time.Second

// maxHistory is what a server gives who joins, unless it is set otherwise.
const maxHistory = 256

func within(flag string, n, least, most int) error {
	if n < least || n > most {
		return fmt.Errorf("--%s %d is not within %d and %d", flag, n, least, most)
	}
	return nil
}

func duration(flag string, d, least, most time.Duration) error {
	if d < least || d > most {
		return fmt.Errorf("--%s %v is not within %v and %v", flag, d, least, most)
	}
	return nil
}

// idle is connections that do nothing.
type idle struct {
	People int           `default:"1000" help:"Connections."`
	Size   int           `name:"room-size" default:"10" help:"People in each room."`
	Rate   int           `default:"500" help:"Connections made a second; 0 = as fast as it goes."`
	For    time.Duration `default:"10s" help:"How long they stay."`
}

// Validate implements kong's interface for checks.
func (s *idle) Validate() error {
	return errors.Join(within("people", s.People, 1, maxPeople), within("room-size", s.Size, 1, maxPeople),
		within("rate", s.Rate, 0, maxPeople), duration("for", s.For, time.Second, maxFor))
}

func (s *idle) run(ctx context.Context, l *load) error {
	l.found.Shape = fmt.Sprintf("%d connections in rooms of %d, %v", s.People, s.Size, s.For)
	before := l.usage(ctx)
	people, _, err := l.enter(ctx, "p", s.People, s.Size, s.Rate, 0)
	defer func() { l.part(people) }()
	if l.found.People == 0 {
		return err
	}
	if err != nil { // how many it took is what was asked
		l.found.Refused = s.People - l.found.People
		l.found.note(explain(err))
	}
	start := l.usage(ctx)
	began := time.Now()
	l.report.now(func() string {
		return fmt.Sprintf("%d connections idle for %v of %v", l.found.People, time.Since(began).Round(time.Second), s.For)
	})
	if !sleepUntil(ctx, began.Add(s.For)) {
		return context.Cause(ctx)
	}
	l.found.used(before, start, l.usage(ctx))
	return nil
}

// chat is rooms of one size with a steady rate of messages.
type chat struct {
	Rooms  int           `default:"10" help:"Rooms."`
	People int           `default:"10" help:"People in each."`
	Rate   int           `default:"10" help:"Messages a second in each, its people in turns."`
	Bytes  int           `default:"200" help:"Length of each message."`
	For    time.Duration `default:"10s" help:"How long they write."`
}

// Validate implements kong's interface for checks.
func (s *chat) Validate() error {
	if err := errors.Join(within("rooms", s.Rooms, 1, maxPeople), within("people", s.People, 1, maxPeople),
		within("rate", s.Rate, 1, 10_000), within("bytes", s.Bytes, driver.MinTextBytes, driver.MaxTextBytes),
		duration("for", s.For, time.Second, maxFor)); err != nil {
		return err
	}
	const most = 100_000
	if s.Rooms*s.People > maxPeople || s.Rooms*s.Rate > most {
		return fmt.Errorf("%d people and %d messages a second are more than %d and %d", s.Rooms*s.People, s.Rooms*s.Rate, maxPeople, most)
	}
	if bits := s.Rooms * s.People * s.messages(); bits > 8<<30 {
		return errors.New("that many messages to that many people need more than 1 GiB to keep count of; let it be shorter")
	}
	return nil
}

// messages is how many are written into each room.
func (s *chat) messages() int { return max(int(s.For.Seconds()*float64(s.Rate)), 1) }

// A talk is what is known of the messages of one room.
type talk struct {
	sent  []atomic.Int64 // when each was written, in nanoseconds since 1970; 0 = it was not
	mu    sync.Mutex
	acked bitset // guarded by mu
}

// A conversation is chat under way.
type conversation struct {
	load      *load
	acked     atomic.Int64
	refused   atomic.Int64
	delivered *driver.Histogram
	answered  *driver.Histogram
}

func (s *chat) run(ctx context.Context, l *load) error {
	l.found.Shape = fmt.Sprintf("%d rooms of %d people, %d messages a second of %d bytes in each, %v", s.Rooms, s.People, s.Rate, s.Bytes, s.For)
	before := l.usage(ctx)
	people, rooms, err := l.enter(ctx, "p", s.Rooms*s.People, s.People, 0, s.messages())
	if err != nil {
		l.part(people)
		return err
	}
	v := &conversation{load: l, delivered: new(driver.Histogram), answered: new(driver.Histogram)}
	talks := make(map[*room]*talk, len(rooms))
	for _, r := range rooms {
		t := &talk{sent: make([]atomic.Int64, s.messages()), acked: newBitset(s.messages())}
		talks[r] = t
		for _, c := range r.members {
			c.Listen(func(line []byte) { v.heard(c, t, line) })
		}
	}
	start := l.usage(ctx)
	err = s.speak(ctx, v, rooms, talks)
	arrived := func() int64 {
		sum := int64(0)
		for _, c := range people {
			sum += c.unique.Load()
		}
		return sum
	}
	driver.Await(arrival, func() bool {
		return v.acked.Load()+v.refused.Load() >= l.found.Sent && arrived() >= v.acked.Load()*int64(s.People)
	})
	l.found.used(before, start, l.usage(ctx))
	stayed := l.part(people)
	l.found.Acknowledged, l.found.RefusedMessages, l.found.Delivered = v.acked.Load(), v.refused.Load(), arrived()
	for _, c := range stayed {
		l.found.Lost += talks[c.room].acked.without(c.seen)
	}
	l.found.latency("to an acknowledgement", v.answered)
	l.found.latency("to a delivery", v.delivered)
	return err
}

// heard takes in a line of somebody's.
func (v *conversation) heard(c *client, t *talk, line []byte) {
	switch {
	case driver.IsKind(line, driver.KindChat):
		if at := driver.SentAt(line); c.read(driver.IDOf(line)) && at > 0 {
			v.delivered.Add(time.Duration(time.Now().UnixNano() - at))
		}
	case driver.IsKind(line, driver.KindAck):
		n, ours := v.load.number(driver.IDOf(line))
		if !ours || n >= len(t.sent) {
			return
		}
		t.mu.Lock()
		first, _ := t.acked.add(n)
		t.mu.Unlock()
		if first {
			v.answered.Add(time.Duration(time.Now().UnixNano() - t.sent[n].Load()))
			v.acked.Add(1)
		}
	case driver.IsKind(line, driver.KindError):
		if _, ours := v.load.number(driver.IDOf(line)); ours {
			v.refused.Add(1)
			v.load.found.note(explain(fmt.Errorf("the server answers %s", codeOf(line))))
		}
	}
}

// codeOf is the code of an error, in quotes.
func codeOf(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte(`"code":`))
	code, _, _ := bytes.Cut(rest, []byte(","))
	return bytes.TrimRight(code, "}")
}

// speak writes at the rate into every room, evenly.
func (s *chat) speak(ctx context.Context, v *conversation, rooms []*room, talks map[*room]*talk) error {
	l, total := v.load, s.messages()*len(rooms)
	interval := time.Second / time.Duration(s.Rate*len(rooms))
	began := time.Now()
	l.report.now(func() string {
		return fmt.Sprintf("%v of %v: %d messages acknowledged", time.Since(began).Round(time.Second), s.For, v.acked.Load())
	})
	var line []byte
	for i := range total {
		due := began.Add(time.Duration(i) * interval)
		if !sleepUntil(ctx, due) {
			return context.Cause(ctx)
		}
		l.found.behind(time.Since(due))
		r, n := rooms[i%len(rooms)], i/len(rooms)
		speaker := r.members[n%len(r.members)]
		now := time.Now()
		line = driver.ChatLine(line[:0], r.name, l.messageID(n), now, s.Bytes)
		talks[r].sent[n].Store(now.UnixNano())
		if err := speaker.Write(line); err != nil {
			continue // who is cut off is counted
		}
		l.found.Sent++
	}
	l.found.Seconds = time.Since(began).Seconds()
	return nil
}

// join is people who join one room.
type join struct {
	People  int `default:"100" help:"Members of the room before."`
	History int `default:"256" help:"Messages in it."`
	Joins   int `default:"200" help:"How many more people join."`
	Rate    int `default:"50" help:"Joins a second."`
}

// Validate implements kong's interface for checks.
func (s *join) Validate() error {
	return errors.Join(within("people", s.People, 1, maxPeople/2), within("history", s.History, 1, maxHistory),
		within("joins", s.Joins, 1, maxPeople/2), within("rate", s.Rate, 1, 10_000))
}

func (s *join) run(ctx context.Context, l *load) error {
	l.found.Shape = fmt.Sprintf("%d people join a room of %d with %d messages, %d a second", s.Joins, s.People, s.History, s.Rate)
	before := l.usage(ctx)
	residents, rooms, err := l.enter(ctx, "r", s.People, s.People, 0, s.History)
	defer func() { l.part(residents) }()
	if err != nil {
		return err
	}
	if err := l.write(ctx, rooms[0], s.History); err != nil {
		return err
	}
	visitors, _, err := l.enter(ctx, "v", s.Joins, 0, 0, s.History)
	defer func() { l.part(visitors) }()
	if err != nil {
		return err
	}
	start := l.usage(ctx)
	waits := new(driver.Histogram)
	var joined, lost atomic.Int64
	began := time.Now()
	l.report.now(func() string { return fmt.Sprintf("%d of %d joined", joined.Load(), s.Joins) })
	err = driver.InParallel(len(visitors), len(visitors), func(i int) error {
		if !sleepUntil(ctx, began.Add(time.Duration(i)*time.Second/time.Duration(s.Rate))) {
			return context.Cause(ctx)
		}
		c, asked := visitors[i], time.Now()
		line, err := c.Join(rooms[0].name)
		if err != nil {
			return fmt.Errorf("joining: %w", err)
		}
		waits.Add(time.Since(asked))
		joined.Add(1)
		c.readAll(line)
		if !bytes.Contains(line, []byte(`"more":true`)) { // the server's window is smaller
			lost.Add(int64(s.History) - c.unique.Load())
		}
		return nil
	})
	l.found.Seconds = time.Since(began).Seconds()
	l.found.used(before, start, l.usage(ctx))
	for _, c := range visitors {
		l.found.Delivered += c.unique.Load()
	}
	l.found.Joins, l.found.Lost = joined.Load(), lost.Load()
	l.found.latency("to join", waits)
	return err
}

// write has the first member of a room write n messages, each when the one before is acknowledged.
func (l *load) write(ctx context.Context, r *room, n int) error {
	var line []byte
	for i := range n {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line = driver.ChatLine(line[:0], r.name, l.messageID(i), time.Now(), driver.TextBytes)
		if _, err := r.members[0].Ask(line, "ack"); err != nil {
			return fmt.Errorf("writing into a room: %w", err)
		}
	}
	return nil
}

// storm is everybody who loses the connection and comes back.
type storm struct {
	People int           `default:"1000" help:"How many."`
	Size   int           `name:"room-size" default:"10" help:"People in each room."`
	Missed int           `default:"100" help:"Messages written into each room meanwhile."`
	Over   time.Duration `default:"0s" help:"They come back over so long; 0 = all at once."`
}

// Validate implements kong's interface for checks.
func (s *storm) Validate() error {
	return errors.Join(within("people", s.People, 1, maxPeople/2), within("room-size", s.Size, 1, maxPeople/2),
		within("missed", s.Missed, 1, maxHistory), duration("over", s.Over, 0, maxFor))
}

func (s *storm) run(ctx context.Context, l *load) error {
	l.found.Shape = fmt.Sprintf("%d people in rooms of %d come back to %d messages over %v", s.People, s.Size, s.Missed, s.Over)
	before := l.usage(ctx)
	people, rooms, err := l.enter(ctx, "p", s.People, s.Size, 0, s.Missed)
	defer func() { l.part(people) }()
	if err != nil {
		return err
	}
	keepers, err := l.keepers(ctx, rooms)
	defer func() { l.part(keepers) }()
	if err != nil {
		return err
	}
	for _, c := range people {
		c.Drop()
	}
	l.report.now(func() string {
		return "nobody is there, and " + strconv.Itoa(s.Missed*len(rooms)) + " messages are written"
	})
	err = driver.InParallel(len(keepers), driver.Connectors, func(i int) error {
		return l.write(ctx, &room{name: rooms[i].name, members: keepers[i : i+1]}, s.Missed)
	})
	if err != nil {
		return err
	}
	l.found.Sent, l.found.Acknowledged = int64(s.Missed*len(rooms)), int64(s.Missed*len(rooms))
	return s.comeBack(ctx, l, before, people)
}

// keepers connects one person for each room, who stays.
func (l *load) keepers(ctx context.Context, rooms []*room) ([]*client, error) {
	keepers := make([]*client, len(rooms))
	return keepers, driver.InParallel(len(rooms), driver.Connectors, func(i int) error {
		p, err := l.newPerson("k", i)
		if err != nil {
			return err
		}
		if err := l.connect(ctx, p); err != nil {
			return err
		}
		keepers[i] = &client{Person: p, load: l, seen: newBitset(0)}
		_, err = p.Join(rooms[i].name)
		return err
	})
}

// comeBack has everybody come back, and waits until they have what they missed.
func (s *storm) comeBack(ctx context.Context, l *load, before usage, people []*client) error {
	start := l.usage(ctx)
	waits := new(driver.Histogram)
	var back, late atomic.Int64
	l.report.now(func() string { return fmt.Sprintf("%d of %d are back", back.Load(), len(people)) })
	began := time.Now()
	err := driver.InParallel(len(people), len(people), func(i int) error {
		if !sleepUntil(ctx, began.Add(s.Over*time.Duration(i)/time.Duration(len(people)))) {
			return context.Cause(ctx)
		}
		asked := time.Now()
		if err := s.resume(ctx, people[i]); err != nil {
			late.Add(1)
			l.found.note(explain(err))
			return ctx.Err()
		}
		waits.Add(time.Since(asked))
		back.Add(1)
		return nil
	})
	l.found.Seconds = time.Since(began).Seconds()
	l.found.used(before, start, l.usage(ctx))
	l.found.Refused += int(late.Load())
	for _, c := range people {
		l.found.Delivered += c.unique.Load()
		l.found.Lost += int64(s.Missed) - c.unique.Load()
	}
	l.found.latency("to be back with all messages", waits)
	return err
}

// resume returns when a person has every message that they missed.
func (s *storm) resume(ctx context.Context, c *client) error {
	if err := c.load.connect(ctx, c.Person); err != nil {
		return err
	}
	whole := make(chan struct{})
	var once sync.Once
	c.Listen(func(line []byte) {
		if driver.IsKind(line, driver.KindJoined) || driver.IsKind(line, driver.KindChat) {
			c.readAll(line)
		}
		if c.unique.Load() == int64(s.Missed) {
			once.Do(func() { close(whole) })
		}
	})
	if err := c.Write(c.JoinRequest(c.Room, true)); err != nil {
		return err
	}
	timeout := time.NewTimer(driver.AnswerTimeout)
	defer timeout.Stop()
	select {
	case <-whole:
		return nil
	case <-c.Done():
		return c.Err()
	case <-timeout.C:
		return fmt.Errorf("not every message came within %v", driver.AnswerTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
