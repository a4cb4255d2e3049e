package main

import (
	"net/http"
	"strings"

	"confab/signaling"
	"confab/signaling/wire"
)

// claimsOf reads the token of a request, which is the one that the socket takes in its first message. The error is a
// *wire.Error with unauthorized.
func claimsOf(r *http.Request, verifier signaling.Verifier) (*signaling.Claims, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" { // RFC 9110 section 11.1
		return nil, wire.Errorf(wire.CodeUnauthorized, "the request needs a token, as Authorization: Bearer TOKEN")
	}
	return verifier.Verify(r.Context(), token)
}

// claimsFor reads the token of a request that concerns a room. The error is a *wire.Error with unauthorized or forbidden.
func claimsFor(r *http.Request, verifier signaling.Verifier, room wire.RoomID) (*signaling.Claims, error) {
	claims, err := claimsOf(r, verifier)
	if err == nil && !claims.Allows(room) {
		return nil, wire.Errorf(wire.CodeForbidden, "this token is not for this room")
	}
	return claims, err
}
