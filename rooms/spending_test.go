package rooms

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"
)

// TestSpending: what is used is counted by bot and user, until midnight and through the document.
func TestSpending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight, UTC
		r := &Room{keeping: true}
		r.spend("echo", "ada", 10)
		r.spend("echo", "grace", 5)
		r.spend("parrot", "ada", 1)
		time.Sleep(24*time.Hour - time.Second)
		r.spend("echo", "ada", 2)
		var read document
		if err := json.Unmarshal(mustJSON(r.doc), &read); err != nil {
			t.Fatal(err)
		}
		r = &Room{keeping: true, doc: read}
		if b := r.spentToday().Bots["echo"]; b == nil || b.Tokens != 17 || b.Users["ada"] != 12 || b.Users["grace"] != 5 {
			t.Errorf("before midnight: %+v", b)
		}
		time.Sleep(time.Second)
		if all := r.spentToday().Bots; len(all) != 0 {
			t.Errorf("after midnight: %v", all)
		}
	})
}

// TestSpendingBounds: there is an end to whom a room keeps, and who uses most is kept.
func TestSpendingBounds(t *testing.T) {
	r := &Room{keeping: true}
	for i := range maxUserSpenders + 10 {
		r.spend("echo", wire.UserID(fmt.Sprint("u", i)), 1000-i)
	}
	for i := range maxSpenders + 10 {
		r.spend(wire.BotID(fmt.Sprint("b", i)), "ada", 1)
	}
	echo := r.spentToday().Bots["echo"]
	if len(echo.Users) != maxUserSpenders || echo.Users["u0"] != 1000 || len(r.doc.Spent.Bots) != maxSpenders {
		t.Errorf("%d users, %d bots, %d of u0", len(echo.Users), len(r.doc.Spent.Bots), echo.Users["u0"])
	}
}
