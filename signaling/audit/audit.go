// Package audit keeps who did what to whom: what moderators do in rooms, and what the admin API is used for, refused
// attempts too. No text of messages and no secret stands in it.
//
// # Model
//
// An Entry is one JSON object on a line. A Log takes entries from anywhere without waiting, and one goroutine writes
// them to a file that is only appended to, mode 0600, and forces them to the disk. A file that is full is renamed to
// NAME.1, what that was to NAME.2 and so on; the last one is deleted. Or it writes them to a stream that somebody else
// keeps.
//
// # Concurrency
//
// A Log may be used from any goroutine. Close writes what waits, and ends the goroutine.
//
// The package knows the events of rooms, and no socket.
package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	maxWaiting   = 4096     // entries; more than a disk is behind by, unless it hangs
	defaultBytes = 16 << 20 // of one file
	defaultKeep  = 4        // files that are full
	maxLine      = 16 << 10 // of an entry: names and ids are bounded, each a fraction of it

	// What is refused is written within these, so that nobody can push what was done out of the files by asking for what
	// they may not: a day of it is 20 MB.
	refusedBurst = 1000
	refusedEvery = time.Second

	// MaxPage is the most entries of one Page.
	MaxPage = 500
)

// The ways in which something is done.
const (
	ViaRoom  = "room"  // by a participant
	ViaAdmin = "admin" // by the admin API
)

// Done is the outcome of what was not refused; else it is the code of the error.
const Done = "ok"

// An Entry says who did what to whom.
type Entry struct {
	Seq         int64              `json:"seq"` // grows, also over a restart
	Time        time.Time          `json:"time"`
	Via         string             `json:"via"`               // room or admin
	User        wire.UserID        `json:"user,omitempty"`    // who; of a room
	Participant wire.ParticipantID `json:"session,omitempty"` // by which session; of a room
	Key         string             `json:"key,omitempty"`     // by which admin key, by its name; empty = by none that is good
	Address     string             `json:"address,omitempty"` // from where; of a session an IPv6 address is its /64
	Action      string             `json:"action"`
	Room        wire.RoomID        `json:"room,omitempty"`
	Target      wire.ParticipantID `json:"target,omitempty"`     // to which participant
	TargetUser  wire.UserID        `json:"targetUser,omitempty"` // to whom
	Detail      string             `json:"detail,omitempty"`
	Outcome     string             `json:"outcome"` // ok, or the code of the error
}

// ErrNoFile says that entries are not kept where they could be read.
var ErrNoFile = errors.New("audit: the log is not kept in a file")

// Options of Open: one of Path and Stream.
type Options struct {
	Path   string    // of the file
	Stream io.Writer // takes the lines instead
	Bytes  int64     // of one file; 0 = 16 MiB
	Keep   int       // files beside the one that is written; 0 = 4
	Logger *slog.Logger
}

// A Log is an audit log. A nil one takes entries and keeps none.
type Log struct {
	// Set by Open, then constant.
	opts Options
	wake chan struct{} // a value: something waits
	done chan struct{} // closed by run as it returns

	mu sync.Mutex
	// Guarded by mu.
	waiting []Entry
	last    int64 // seq
	lost    uint64
	told    uint64 // of lost, that an entry says so
	refused *rate.Limiter
	skipped int // refused, and not written since the last that was
	closing bool

	writing sync.Mutex // held while the files are written, renamed or read
	file    *os.File   // guarded by writing; nil = a stream
	size    int64      // of it; guarded by writing
}

// Open opens or makes the file and starts the writer. Close ends it. Errors: what the file system says.
func Open(opts Options) (*Log, error) {
	if opts.Bytes <= 0 {
		opts.Bytes = defaultBytes
	}
	if opts.Keep <= 0 {
		opts.Keep = defaultKeep
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	l := &Log{opts: opts, wake: make(chan struct{}, 1), done: make(chan struct{}), refused: rate.NewLimiter(rate.Every(refusedEvery), refusedBurst)}
	if opts.Stream == nil {
		if err := l.open(); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		page, err := l.Page(Query{Limit: 1})
		if err != nil {
			return nil, errors.Join(err, l.file.Close())
		}
		if len(page.Entries) > 0 {
			l.last = page.Entries[0].Seq
		}
	}
	go l.run()
	return l, nil
}

// open opens the file that is written. What a killed process left of its last line ends here.
func (l *Log) open() error {
	file, err := os.OpenFile(l.opts.Path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	if l.size == 0 {
		return nil
	}
	var end [1]byte
	if _, err := file.ReadAt(end[:], l.size-1); err == nil && end[0] != '\n' {
		n, err := file.WriteString("\n")
		l.size += int64(n)
		return err
	}
	return nil
}

// Write takes an entry, whose Seq and, when it has none, Time are set here. It never waits: an entry that finds the
// disk further behind than can be kept is lost, and the next one that is written says how many were. Of what was refused
// no more than some is written, and then how much it was.
func (l *Log) Write(e Entry) {
	if l == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || len(l.waiting) >= maxWaiting {
		l.lost++
		return
	}
	if e.Outcome != Done && !l.refused.Allow() {
		l.skipped++
		return
	}
	if l.skipped > 0 && e.Outcome != Done {
		l.pushLocked(Entry{Time: e.Time, Via: e.Via, Action: "refused-more", Detail: strconv.Itoa(l.skipped), Outcome: string(wire.CodeRateLimited)})
		l.skipped = 0
	}
	if l.lost > l.told {
		l.pushLocked(Entry{Time: e.Time, Via: ViaAdmin, Action: "audit-lost", Detail: strconv.FormatUint(l.lost-l.told, 10), Outcome: string(wire.CodeUnavailable)})
		l.told = l.lost
	}
	l.pushLocked(e)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// pushLocked numbers an entry by its time, or by the one before it when that is later.
func (l *Log) pushLocked(e Entry) {
	l.last = max(l.last+1, e.Time.UnixMicro())
	e.Seq = l.last
	l.waiting = append(l.waiting, e)
}

// Act takes what a participant did.
func (l *Log) Act(act rooms.Act) {
	if l == nil {
		return
	}
	e := Entry{
		Time: act.Time, Via: ViaRoom, User: act.User, Participant: act.Participant, Action: string(act.Action), Room: act.Room,
		Target: act.Target, TargetUser: act.TargetUser, Outcome: Done,
	}
	if act.Refused != "" {
		e.Outcome = string(act.Refused)
	}
	if act.Address.IsValid() {
		e.Address = act.Address.String()
		if act.Address.IsSingleIP() {
			e.Address = act.Address.Addr().String()
		}
	}
	switch {
	case act.Source != "":
		e.Detail = string(act.Source)
	case act.Bot != "":
		e.Detail = fmt.Sprintf("%s %s", act.Bot, map[bool]string{true: "on", false: "off"}[act.On])
	case act.Message != 0:
		e.Detail = fmt.Sprintf("message %d", act.Message)
	}
	if act.Thread != "" {
		e.Detail = joinDetail(e.Detail, "thread "+string(act.Thread))
	}
	l.Write(e)
}

func joinDetail(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}

// Lost counts entries that were not kept.
func (l *Log) Lost() uint64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Close writes what waits and closes the file. Entries that come later are lost.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	first := !l.closing
	l.closing = true
	l.mu.Unlock()
	if first {
		close(l.wake)
	}
	<-l.done
	l.writing.Lock()
	defer l.writing.Unlock()
	if !first || l.file == nil {
		return nil
	}
	return l.file.Close()
}

// run writes what comes until Close.
func (l *Log) run() {
	defer close(l.done)
	for open := true; open; {
		_, open = <-l.wake
		l.mu.Lock()
		batch := l.waiting
		l.waiting = nil
		l.mu.Unlock()
		if err := l.write(batch); err != nil {
			l.opts.Logger.Error("audit entries could not be written", "entries", len(batch), "err", err)
			l.mu.Lock()
			l.lost += uint64(len(batch))
			l.mu.Unlock()
		}
	}
}

// write puts entries into the file and on the disk.
func (l *Log) write(batch []Entry) error {
	if len(batch) == 0 {
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	var text bytes.Buffer
	for _, e := range batch {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	if l.file == nil {
		_, err := l.opts.Stream.Write(text.Bytes())
		return err
	}
	if l.size > 0 && l.size+int64(text.Len()) > l.opts.Bytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(text.Bytes())
	l.size += int64(n)
	return errors.Join(err, l.file.Sync())
}

// rotate puts the full file aside and begins another.
func (l *Log) rotate() error {
	if err := l.file.Close(); err != nil {
		return err
	}
	for i := l.opts.Keep; i > 0; i-- {
		if err := os.Rename(l.name(i-1), l.name(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, l.open()) // go on with the one that is full
		}
	}
	return l.open()
}

// name is that of the i-th file; 0 is the one that is written.
func (l *Log) name(i int) string {
	if i == 0 {
		return l.opts.Path
	}
	return l.opts.Path + "." + strconv.Itoa(i)
}

// A Query asks for a page of entries.
type Query struct {
	Before int64       // only entries with a smaller seq; 0 = from the newest
	Limit  int         // 1 to MaxPage; 0 = 100
	Room   wire.RoomID // only of this room; empty = of all
}

// A Page is the newest entries that a query asks for, newest first.
type Page struct {
	Entries []Entry `json:"entries"`
	More    bool    `json:"more"` // there are older ones
}

// Page reads entries back. Those that were taken a moment ago may not be there yet. Errors: ErrNoFile, what the file
// system says.
func (l *Log) Page(q Query) (Page, error) {
	page := Page{Entries: []Entry{}}
	if l == nil || l.opts.Stream != nil {
		return page, ErrNoFile
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, MaxPage)
	l.writing.Lock()
	defer l.writing.Unlock()
	for i := 0; i <= l.opts.Keep && !page.More; i++ {
		entries, err := readFile(l.name(i), q)
		if err != nil {
			return page, fmt.Errorf("audit: %w", err)
		}
		for j := len(entries) - 1; j >= 0 && !page.More; j-- {
			if len(page.Entries) == q.Limit {
				page.More = true
				break
			}
			page.Entries = append(page.Entries, entries[j])
		}
	}
	return page, nil
}

// readFile returns the newest entries of a file that a query asks for, one more than it wants, oldest first. A file that
// is not there has none; a line that cannot be read is left out.
func readFile(path string, q Query) ([]Entry, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var entries []Entry
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 4096), maxLine)
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Seq == 0 {
			continue
		}
		if q.Before != 0 && e.Seq >= q.Before {
			break
		}
		if q.Room != "" && e.Room != q.Room {
			continue
		}
		entries = append(entries, e)
		if len(entries) > 2*(q.Limit+1) { // only the newest count
			entries = append(entries[:0], entries[len(entries)-q.Limit-1:]...)
		}
	}
	return entries, lines.Err()
}
