package bots

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"confab/signaling/wire"
)

const (
	maxCached      = 512
	maxCachedBytes = 4 << 20
	cachedFor      = time.Hour
)

// A cache keeps answers for the same question on the same ground: exactly the same, asked by the same user, of the same
// persona, model and tools, when nothing was said meanwhile but questions to bots and their answers. An answer that
// looked at anything but messages is not kept.
type cache struct {
	mu      sync.Mutex
	entries map[string]*list.Element // guarded by mu
	recent  *list.List               // of *cached, the latest used first; guarded by mu
	bytes   int                      // guarded by mu
}

type cached struct {
	key    string
	room   wire.RoomID
	thread wire.ThreadID
	at     time.Time
	text   string
	model  string
	from   []wire.Seq
}

func newCache() *cache { return &cache{entries: make(map[string]*list.Element), recent: list.New()} }

func (c *cache) get(key string) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return cached{}, false
	}
	x := e.Value.(*cached)
	if time.Since(x.at) > cachedFor {
		c.drop(e)
		return cached{}, false
	}
	c.recent.MoveToFront(e)
	return *x, true
}

func (c *cache) put(x cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[x.key]; e != nil {
		c.drop(e)
	}
	x.at = time.Now()
	c.entries[x.key] = c.recent.PushFront(&x)
	c.bytes += len(x.text)
	for len(c.entries) > maxCached || c.bytes > maxCachedBytes {
		c.drop(c.recent.Back())
	}
}

// forget drops what rests on a timeline of which something was changed or taken back.
func (c *cache) forget(room wire.RoomID, thread wire.ThreadID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if x := e.Value.(*cached); x.room == room && x.thread == thread {
			c.drop(e)
		}
	}
}

func (c *cache) drop(e *list.Element) {
	x := e.Value.(*cached)
	delete(c.entries, x.key)
	c.recent.Remove(e)
	c.bytes -= len(x.text)
}

// A ground is all that an answer may rest on.
type ground struct {
	Persona  string // all of it
	Engine   string
	Tools    []string // names with their schemas
	Room     wire.RoomID
	Thread   wire.ThreadID
	User     wire.UserID
	Role     wire.Role
	Profile  string
	Read     wire.Seq
	Question string // normalized
	About    wire.Seq
	Said     []groundLine // by people, but for questions to bots
	Spoken   []string     // aloud
	Dialog   []string     // other questions to this bot, and its answers
}

type groundLine struct {
	Seq  wire.Seq
	User string
	Text string
}

func (g ground) key() string {
	data, err := json.Marshal(g)
	if err != nil {
		panic("bots: a ground that cannot be encoded: " + err.Error()) // plain values of ours
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// normalize makes one of questions that differ in space, case and the marks at their ends.
func normalize(question string) string {
	return strings.Trim(strings.ToLower(strings.Join(strings.Fields(question), " ")), " ?!.")
}
