package signaling

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"confab/signaling/wire"
)

type guestReply struct {
	Status int
	Header http.Header
	Token  string
	Error  struct {
		Code    wire.ErrorCode
		Message string
	}
}

// askGuest posts body from address to a router with h.
func askGuest(t *testing.T, h *GuestHandler, host, address, body string) guestReply {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	h.Routes(router)
	request := httptest.NewRequest(http.MethodPost, "/api/v1/guest", strings.NewReader(body))
	request.Host, request.RemoteAddr = host, netip.AddrPortFrom(netip.MustParseAddr(address), 1234).String()
	recorder := httptest.NewRecorder()
	router.ServeHTTP(recorder, request)
	reply := guestReply{Status: recorder.Code, Header: recorder.Header()}
	if err := json.Unmarshal(recorder.Body.Bytes(), &reply); err != nil {
		t.Fatalf("%v in %q", err, recorder.Body)
	}
	return reply
}

func newTestGuests(t *testing.T, who Guests) *GuestHandler {
	return NewGuestHandler(GuestOptions{Keys: openTestKeyring(t, ""), Guests: who, Logger: slog.New(slog.DiscardHandler)})
}

func TestGuestGetsAToken(t *testing.T) {
	h := newTestGuests(t, GuestsAnywhere)
	for _, c := range []struct {
		body, name string
		room       string
	}{
		{`{"name":"  Ada\u0000 ","room":"sunny-otter"}`, "Ada", "sunny-otter"},
		{`{"name":"` + strings.Repeat("é", 80) + `"}`, strings.Repeat("é", 80), "*"},
		{`{"name":"Eve","token":"not a token","later":1}`, "Eve", "*"},
	} {
		reply := askGuest(t, h, "meet.example", "192.0.2.1", c.body)
		if reply.Status != http.StatusOK || reply.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %+v", c.body, reply)
		}
		claims, err := h.keys.Verify(t.Context(), reply.Token)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(claims.User), "guest-") || len(claims.User) < 24 || !claims.Guest || claims.Name != c.name ||
			len(claims.Rooms) != 1 || claims.Rooms[0] != c.room || claims.Role != wire.RoleMember {
			t.Errorf("%s: %+v", c.body, claims)
		}
		if left := time.Until(claims.ExpiresAt); left < guestTTL-time.Minute || left > guestTTL {
			t.Errorf("good for %v", left)
		}
	}
}

func TestGuestIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, host, body string
		who              Guests
		status           int
		code             wire.ErrorCode
	}{
		{"off", "localhost:8080", `{"name":"Ada"}`, GuestsOff, http.StatusForbidden, wire.CodeForbidden},
		{"local only, by another name", "meet.example", `{"name":"Ada"}`, GuestsLocal, http.StatusForbidden, wire.CodeForbidden},
		{"local only, by an address of the network", "192.168.1.5:8080", `{"name":"Ada"}`, GuestsLocal, http.StatusForbidden, wire.CodeForbidden},
		{"no name", "a", `{"room":"x"}`, GuestsAnywhere, http.StatusBadRequest, wire.CodeBadMessage},
		{"name of blanks", "a", `{"name":" \t\u202e"}`, GuestsAnywhere, http.StatusBadRequest, wire.CodeBadMessage},
		{"name of 81", "a", `{"name":"` + strings.Repeat("x", 81) + `"}`, GuestsAnywhere, http.StatusBadRequest, wire.CodeBadMessage},
		{"bad room", "a", `{"name":"Ada","room":"*"}`, GuestsAnywhere, http.StatusBadRequest, wire.CodeBadMessage},
		{"no JSON", "a", `name=Ada`, GuestsAnywhere, http.StatusBadRequest, wire.CodeBadMessage},
		{"name of another type", "a", `{"name":7}`, GuestsAnywhere, http.StatusBadRequest, wire.CodeBadMessage},
		{"too large", "a", `{"name":"` + strings.Repeat("x", maxGuestBody) + `"}`, GuestsAnywhere, http.StatusRequestEntityTooLarge, wire.CodeTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply := askGuest(t, newTestGuests(t, c.who), c.host, "192.0.2.1", c.body)
			if reply.Status != c.status || reply.Error.Code != c.code || reply.Error.Message == "" || reply.Token != "" {
				t.Errorf("%+v", reply)
			}
		})
	}
}

func TestGuestsOfThisMachine(t *testing.T) {
	h := newTestGuests(t, GuestsLocal)
	for _, host := range []string{"localhost:8080", "localhost", "127.0.0.1:8080", "[::1]:8080", "confab.localhost:8080"} {
		if reply := askGuest(t, h, host, "127.0.0.1", `{"name":"Ada"}`); reply.Status != http.StatusOK {
			t.Errorf("%s: %+v", host, reply)
		}
	}
}

func TestGuestStaysTheSamePerson(t *testing.T) {
	h := newTestGuests(t, GuestsAnywhere)
	first := askGuest(t, h, "a", "192.0.2.1", `{"name":"Ada","room":"one"}`).Token
	expired, err := h.keys.Mint(Claims{User: "guest-old", Role: wire.RoleMember, Guest: true, ExpiresAt: time.Now().Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	account, err := h.keys.Mint(Claims{User: "boss", Role: wire.RoleModerator, Rooms: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	user := func(token string) wire.UserID {
		claims, err := h.keys.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return claims.User
	}
	for _, c := range []struct {
		name, token string
		same        bool
	}{{"a good guest token", first, true}, {"an expired one", expired, false}, {"an account's", account, false}, {"none", "", false}} {
		reply := askGuest(t, h, "a", "192.0.2.1", fmt.Sprintf(`{"name":"Ada B.","room":"two","token":%q}`, c.token))
		if reply.Status != http.StatusOK {
			t.Fatalf("%s: %+v", c.name, reply)
		}
		now := user(reply.Token)
		if same := now == user(first); same != c.same || now == "boss" || now == "guest-old" {
			t.Errorf("%s: became %s", c.name, now)
		}
	}
}

func TestGuestsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestGuests(t, GuestsAnywhere)
		ask := func(address string) guestReply { return askGuest(t, h, "a", address, `{"name":"Ada"}`) }
		for i := range guestBurst {
			if reply := ask("2001:db8::1"); reply.Status != http.StatusOK {
				t.Fatalf("request %d: %+v", i, reply)
			}
		}
		reply := ask("2001:db8::2") // the same /64
		if reply.Status != http.StatusTooManyRequests || reply.Header.Get("Retry-After") != "1" || reply.Error.Code != wire.CodeRateLimited {
			t.Errorf("one too many: %+v", reply)
		}
		if reply := ask("2001:db8:0:1::1"); reply.Status != http.StatusOK {
			t.Errorf("another network: %+v", reply)
		}
		time.Sleep(guestEvery)
		if reply := ask("2001:db8::1"); reply.Status != http.StatusOK {
			t.Errorf("after Retry-After: %+v", reply)
		}
	})
}

func TestGuestAddressesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestGuests(t, GuestsAnywhere)
		address := netip.MustParseAddr("10.0.0.0")
		for range maxThrottled + 100 {
			address = address.Next()
			h.limits.wait(address.String())
		}
		if n := len(h.limits.sources); n != maxThrottled {
			t.Errorf("%d addresses remembered", n)
		}
		if wait := h.limits.wait(address.Next().String()); wait == 0 {
			t.Error("newcomers past the bound are not paced")
		}
		time.Sleep(2 * guestEvery)
		h.limits.wait(address.Next().String())
		if n := len(h.limits.sources); n != 1 {
			t.Errorf("%d addresses remembered after they were idle", n)
		}
	})
}
