package main

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
)

// Words that are easy to say and to spell, and that nobody minds; the web app makes names of the same kind.
var (
	firstWords = strings.Fields("amber bold brave bright calm clear clever cosy crisp eager early fair fresh gentle glad golden " +
		"happy kind lively lucky mellow merry quick quiet shiny sunny swift tidy vivid warm wise witty")
	secondWords = strings.Fields("badger beacon bridge brook canyon cedar comet coral crane delta falcon fern fjord forest garden " +
		"harbor heron island lagoon lantern lynx maple meadow otter panda pine prairie raven reef river robin willow")
)

// randomRoom is a room's name such as "calm-otter-427". With guests it is all that keeps strangers out, and
// everybody can start a room, so it need not be a secret; where it must be, tokens say who may enter.
func randomRoom() string {
	return fmt.Sprintf("%s-%s-%d", firstWords[pick(len(firstWords))], secondWords[pick(len(secondWords))], 100+pick(900))
}

func pick(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand ends the process before it fails
	}
	return int(i.Int64())
}
