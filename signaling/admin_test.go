package signaling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"confab/rooms"
	"confab/signaling/audit"
	"confab/signaling/openapi"
	"confab/signaling/openapi/openapitest"
	"confab/signaling/wire"
)

const testAdminKey = "0123456789abcdef-admin-0123456789abcdef"

// An adminWorld is a world with the admin API, each exchange with which is held against the OpenAPI document.
type adminWorld struct {
	*world
	doc   *openapitest.Document
	audit *audit.Log
}

func newAdminWorld(t *testing.T, keys ...AdminKey) *adminWorld {
	t.Helper()
	log, err := audit.Open(audit.Options{Path: filepath.Join(t.TempDir(), "audit.log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	ring, err := OpenKeyring(t.Context(), KeyringOptions{Secret: testKey})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) {
		o.Registry = rooms.NewRegistry(testLog, rooms.Options{Logger: slog.New(slog.DiscardHandler), Audit: log.Act})
		admin := NewAdminHandler(AdminOptions{AdminKeys: keys, Registry: o.Registry, Keys: ring, Audit: log, Logger: o.Logger})
		guests := NewGuestHandler(GuestOptions{Keys: ring, Guests: GuestsAnywhere})
		o.Routes = func(router gin.IRouter) {
			admin.Routes(router)
			guests.Routes(router)
		}
		o.Described = slices.Concat(AdminOperations(), GuestOperations)
		o.Verifier = ring
	})
	_, text := w.get(descriptionPath, nil)
	return &adminWorld{w, openapitest.Load(t, []byte(text)), log}
}

// ask sends a request with a key, and returns the status and the body.
func (w *adminWorld) ask(key, method, path, body string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.http.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.doc.Check(w.t, openapitest.Exchange{Request: req, Sent: []byte(body), Response: resp, Received: text})
	return resp.StatusCode, string(text)
}

// want sends a request that must be answered with status, and reads the body.
func want[T any](w *adminWorld, status int, method, path, body string) T {
	w.t.Helper()
	got, text := w.ask(testAdminKey, method, path, body)
	if got != status {
		w.t.Fatalf("%s %s: %d %s, want %d", method, path, got, text, status)
	}
	var v T
	if text != "" {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	return v
}

// refused sends a request that must be refused with code.
func (w *adminWorld) refused(code wire.ErrorCode, method, path, body string) {
	w.t.Helper()
	if got := want[openapi.Problem](w, code.HTTPStatus(), method, path, body); got.Error.Code != code || got.Error.Message == "" {
		w.t.Errorf("%s %s: %+v, want %s", method, path, got, code)
	}
}

func TestAdminAPI(t *testing.T) {
	w := newAdminWorld(t, AdminKey{"ops", testAdminKey}, AdminKey{"crm", "another-" + testAdminKey})
	room := string(roomName(t))
	base := "/api/v1/rooms/" + room
	w.refused(wire.CodeNotFound, "GET", base, "")

	token := want[TokenAnswer](w, 201, "POST", "/api/v1/tokens", fmt.Sprintf(`{"user":"ann","name":"Ann","rooms":[%q],"grants":{"bots":false},"ttlSeconds":60}`, room))
	if until := time.Until(token.ExpiresAt); until < 50*time.Second || until > time.Minute {
		t.Errorf("expires in %v", until)
	}
	ann, _, joined := w.enter(token.Token, wire.RoomID(room))
	if joined.Self.Name != "Ann" || joined.Role != wire.RoleMember || joined.Grants.Bots || !joined.Grants.Chat {
		t.Errorf("joined with %+v", joined)
	}
	view := want[rooms.Overview](w, 200, "PUT", base, `{"title":" Weekly ","locked":true}`)
	if view.Title != "Weekly" || !view.Locked || len(view.Participants) != 1 || view.Participants[0].User != "ann" {
		t.Errorf("set %+v", view)
	}
	info := body[wire.RoomInfo](ann.want(wire.KindRoom, ""))
	if info.Title == nil || *info.Title != "Weekly" {
		t.Errorf("told %+v", info)
	}
	if got := want[rooms.Overview](w, 200, "PUT", base, `{"locked":false}`); got.Locked || got.Title != "Weekly" {
		t.Errorf("what is left out has changed: %+v", got)
	}
	list := want[RoomsAnswer](w, 200, "GET", "/api/v1/rooms?limit=200", "")
	if !slices.ContainsFunc(list.Rooms, func(o rooms.Overview) bool { return string(o.Room) == room }) {
		t.Errorf("rooms: %+v", list)
	}

	message := `{"text":"Deploy is done","id":"deploy-1","user":"ci","name":"CI"}`
	first := want[MessageAnswer](w, 201, "POST", base+"/messages", message)
	if again := want[MessageAnswer](w, 200, "POST", base+"/messages", message); again.Seq != first.Seq || !again.Duplicate {
		t.Errorf("a repeat: %+v", again)
	}
	heard := ann.want(wire.KindChat, "deploy-1")
	if heard.Seq != first.Seq || *heard.Author != (wire.Author{User: "ci", Name: "CI", Kind: wire.Bot}) {
		t.Errorf("heard %+v", heard)
	}
	for i := range 5 {
		want[MessageAnswer](w, 201, "POST", base+"/messages", fmt.Sprintf(`{"text":"line %d"}`, i))
	}
	page := want[wire.HistoryPage](w, 200, "GET", base+"/messages?limit=2", "")
	older := want[wire.HistoryPage](w, 200, "GET", fmt.Sprintf("%s/messages?limit=10&before=%d", base, page.Messages[0].Seq), "")
	if len(page.Messages) != 2 || !page.More || len(older.Messages) != 4 || older.More || older.Messages[0].Seq != first.Seq {
		t.Errorf("pages: %+v, %+v", page, older)
	}

	want[any](w, 204, "DELETE", base+"/participants/"+string(joined.Self.ID)+"?ban=true", "")
	if removed := body[wire.Removed](ann.want(wire.KindRemoved, "")); removed.Reason != wire.Banned {
		t.Errorf("removed: %+v", removed)
	}
	w.refused(wire.CodeNotFound, "DELETE", base+"/participants/"+string(joined.Self.ID), "")
	if bans := want[wire.BanList](w, 200, "GET", base+"/bans", ""); len(bans.Bans) != 1 || bans.Bans[0].User != "ann" {
		t.Errorf("bans: %+v", bans)
	}
	want[any](w, 204, "DELETE", base+"/bans/ann", "")
	w.refused(wire.CodeNotFound, "DELETE", base+"/bans/ann", "")
	if got := want[rooms.Overview](w, 200, "PUT", base, `{"capacity":7}`); got.Capacity != 7 {
		t.Errorf("capacity: %+v", got)
	}
	w.refused(wire.CodeConflict, "PUT", base, `{"capacity":1000000,"title":"Never"}`)
	w.refused(wire.CodeNotFound, "PUT", base+"/bots/scribe", `{"enabled":true}`)
	want[any](w, 204, "DELETE", base+"?history=true", "")
	if page := want[wire.HistoryPage](w, 200, "GET", base+"/messages", ""); len(page.Messages) != 0 {
		t.Errorf("after the end: %+v", page)
	}
	w.checkAudit(t, room)
}

// checkAudit looks at what TestAdminAPI has left.
func (w *adminWorld) checkAudit(t *testing.T, room string) {
	t.Helper()
	var entries []audit.Entry
	eventually(t, "the audit log is written", func() bool {
		entries = want[audit.Page](w, 200, "GET", "/api/v1/audit?limit=100&room="+room, "").Entries
		return len(entries) > 0 && entries[0].Action == "listMessages" && entries[1].Action == "endRoom"
	})
	for _, e := range entries {
		if e.Key != "ops" || e.Address != "127.0.0.1" || e.Via != audit.ViaAdmin || e.Room != wire.RoomID(room) {
			t.Errorf("entry %+v", e)
		}
	}
	have := func(action, outcome string) bool {
		return slices.ContainsFunc(entries, func(e audit.Entry) bool { return e.Action == action && e.Outcome == outcome })
	}
	for _, want := range [][2]string{
		{"setRoom", "ok"}, {"createMessage", "ok"}, {"listMessages", "ok"}, {"removeParticipant", "ok"}, {"removeParticipant", "not-found"},
		{"setBot", "not-found"}, {"endRoom", "ok"},
	} {
		if !have(want[0], want[1]) {
			t.Errorf("no entry %v in %+v", want, entries)
		}
	}
	if have("getRoom", "not-found") {
		t.Error("a look at a room was written down")
	}
	raw, err := json.Marshal(entries)
	if err != nil || bytes.Contains(raw, []byte("Deploy is done")) || bytes.Contains(raw, []byte(testAdminKey)) {
		t.Errorf("the log holds what it must not: %s, %v", raw, err)
	}
	if tokens := want[audit.Page](w, 200, "GET", "/api/v1/audit", "").Entries; !slices.ContainsFunc(tokens, func(e audit.Entry) bool {
		return e.Action == "createToken" && e.TargetUser == "ann" && strings.Contains(e.Detail, "member")
	}) {
		t.Errorf("no entry of the token in %+v", tokens)
	}
}

func TestAdminRefusals(t *testing.T) {
	w := newAdminWorld(t, AdminKey{"ops", testAdminKey})
	long := strings.Repeat("x", maxAdminBody)
	for _, c := range []struct {
		code               wire.ErrorCode
		method, path, body string
	}{
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", `{"user":"ann"}`},
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", `{"user":"ann","rooms":["Not a room"]}`},
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", `{"user":"bot:scribe","rooms":["*"]}`},
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", `{"user":"ann","rooms":["*"],"role":"owner"}`},
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", `{"user":"ann","rooms":["*"],"ttlSeconds":-1}`},
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", `{"user":"ann","rooms":["*"],"admin":true}`},
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", `{"user":"ann","rooms":["*"]} {}`},
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", `{"user":7,"rooms":["*"]}`},
		{wire.CodeBadMessage, "POST", "/api/v1/tokens", ``},
		{wire.CodeTooLarge, "POST", "/api/v1/tokens", `{"user":"` + long + `"}`},
		{wire.CodeBadMessage, "GET", "/api/v1/rooms?limit=0", ""},
		{wire.CodeBadMessage, "GET", "/api/v1/rooms?limit=201", ""},
		{wire.CodeBadMessage, "GET", "/api/v1/rooms?after=A", ""},
		{wire.CodeBadMessage, "GET", "/api/v1/rooms/A", ""},
		{wire.CodeNotFound, "GET", "/api/v1/rooms/nobody-was-here", ""},
		{wire.CodeBadMessage, "PUT", "/api/v1/rooms/r", `{"locked":"yes"}`},
		{wire.CodeBadMessage, "PUT", "/api/v1/rooms/r", `{"capacity":-1}`},
		{wire.CodeNotFound, "GET", "/api/v1/rooms/nobody-was-here/bans", ""},
		{wire.CodeBadMessage, "PUT", "/api/v1/rooms/r", `{"title":"` + strings.Repeat("x", 81) + `"}`},
		{wire.CodeBadMessage, "DELETE", "/api/v1/rooms/r?history=yes", ""},
		{wire.CodeNotFound, "DELETE", "/api/v1/rooms/nobody-was-here", ""},
		{wire.CodeBadMessage, "GET", "/api/v1/rooms/r/messages?before=x", ""},
		{wire.CodeBadMessage, "GET", "/api/v1/rooms/r/messages?thread=A", ""},
		{wire.CodeBadMessage, "POST", "/api/v1/rooms/r/messages", `{"text":" "}`},
		{wire.CodeTooLarge, "POST", "/api/v1/rooms/r/messages", `{"text":"` + strings.Repeat("x", wire.MaxTextBytes+1) + `"}`},
		{wire.CodeBadMessage, "POST", "/api/v1/rooms/r/messages", `{"text":"x","id":"no id"}`},
		{wire.CodeBadMessage, "POST", "/api/v1/rooms/r/messages", `{"text":"x","user":"a\nb"}`},
		{wire.CodeBadMessage, "POST", "/api/v1/rooms/r/messages", `{"text":"x","thread":"A"}`},
		{wire.CodeNotFound, "POST", "/api/v1/rooms/r/messages", `{"text":"x","thread":"m9"}`},
		{wire.CodeBadMessage, "PUT", "/api/v1/rooms/r/bots/scribe", `{}`},
		{wire.CodeNotFound, "PUT", "/api/v1/rooms/r/bots/A", `{"enabled":true}`},
		{wire.CodeNotFound, "DELETE", "/api/v1/rooms/r/participants/nobody", ""},
		{wire.CodeBadMessage, "GET", "/api/v1/audit?limit=501", ""},
	} {
		t.Run(c.method+" "+c.path+" "+c.body[:min(len(c.body), 40)], func(t *testing.T) {
			(&adminWorld{&world{Server: w.Server, t: t, http: w.http}, w.doc, w.audit}).refused(c.code, c.method, c.path, c.body)
		})
	}
}

func TestAdminKeys(t *testing.T) {
	w := newAdminWorld(t, AdminKey{"ops", testAdminKey})
	for i, key := range []string{"", "no", testAdminKey + "x", testAdminKey[1:]} {
		if status, text := w.ask(key, "GET", "/api/v1/rooms", ""); status != 401 || strings.Contains(text, testAdminKey) {
			t.Errorf("key %d: %d %s", i, status, text)
		}
	}
	limited := false
	for range adminBurst / badKeyCost * 2 {
		status, _ := w.ask("guess", "GET", "/api/v1/rooms", "")
		limited = limited || status == 429
	}
	if !limited {
		t.Error("an address may guess for ever")
	}
	eventually(t, "refused attempts are written down", func() bool {
		page, err := w.audit.Page(audit.Query{})
		return err == nil && len(page.Entries) > 0 && page.Entries[0].Outcome == "unauthorized" && page.Entries[0].Key == ""
	})
}

func TestAdminOff(t *testing.T) {
	w := newAdminWorld(t)
	if status, text := w.ask(testAdminKey, "GET", "/api/v1/rooms", ""); status != 404 || !strings.Contains(text, "--admin-key") {
		t.Errorf("without a key set: %d %s", status, text)
	}
	if status, _ := w.ask("", "POST", "/api/v1/guest", `{"name":"Ann"}`); status != 200 {
		t.Errorf("guests: %d", status)
	}
}

// FuzzAdminBody reads what may come as a body. What is taken can be written and read again, and is what it was.
func FuzzAdminBody(f *testing.F) {
	for _, seed := range []string{
		`{"user":"ann","rooms":["*"],"grants":{"publish":["camera"]}}`, `{"text":"x","id":"a","replyTo":1,"mentions":["b"]}`,
		`{"title":null,"locked":true}`, `{"enabled":false}`, `{}{}`, `[]`, `{"text":"\ud800"}`, "{\"user\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		fuzzBody[TokenRequest](t, raw)
		fuzzBody[RoomSettings](t, raw)
		fuzzBody[MessageRequest](t, raw)
		fuzzBody[BotSettings](t, raw)
		var token TokenRequest
		if decodeStrict(bytes.NewReader(raw), &token) != nil {
			return
		}
		claims, err := token.claims(time.Now())
		if err != nil {
			if code := wire.AsError(err).Code; code != wire.CodeBadMessage {
				t.Errorf("%q is refused with %v", raw, err)
			}
			return
		}
		if claims.User == "" || wire.BotOf(claims.User) != "" || len(claims.Rooms) == 0 {
			t.Errorf("%q makes %+v", raw, claims)
		}
	})
}

func fuzzBody[T any](t *testing.T, raw []byte) {
	var body, again T
	if err := decodeStrict(bytes.NewReader(raw), &body); err != nil {
		if problem := wire.AsError(err); problem.Code != wire.CodeBadMessage {
			t.Errorf("%q is refused with %v", raw, err)
		}
		return
	}
	first, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := decodeStrict(bytes.NewReader(first), &again); err != nil {
		t.Fatalf("%q was taken as %s, which is refused: %v", raw, first, err)
	}
	if second, _ := json.Marshal(again); !bytes.Equal(first, second) {
		t.Errorf("%q becomes %s, then %s", raw, first, second)
	}
}
