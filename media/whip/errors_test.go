package whip

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"confab/signaling/wire"
)

// Offers as browsers write them, without what does not matter here.
const (
	offerHead  = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
	offerICE   = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=setup:actpass\r\na=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\na=rtcp-mux\r\n"
	offerAudio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" + offerICE + "a=mid:0\r\na=rtpmap:111 opus/48000/2\r\n"
	offerVideo = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + offerICE + "a=mid:1\r\na=rtpmap:96 VP8/90000\r\n"
)

const (
	goodOffer  = offerHead + offerAudio + "a=sendonly\r\n" + offerVideo + "a=sendonly\r\n"
	goodPlayer = offerHead + offerAudio + "a=recvonly\r\n" + offerVideo + "a=recvonly\r\n"
)

// check holds a reply against a status and a code.
func check(t *testing.T, r reply, status int, code wire.ErrorCode) {
	t.Helper()
	var body struct {
		Error struct {
			Code    wire.ErrorCode
			Message string
		}
	}
	if err := json.Unmarshal([]byte(r.text), &body); err != nil {
		t.Errorf("%d %q is no error: %v", r.StatusCode, r.text, err)
		return
	}
	if r.StatusCode != status || body.Error.Code != code || body.Error.Message == "" {
		t.Errorf("%d %s; want %d %s", r.StatusCode, r.text, status, code)
	}
	if r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page of another origin cannot read it")
	}
}

func TestBeginRefused(t *testing.T) {
	e := newEndpoint(t, func(o *Options) { o.Limits.OfferBytes = 4 << 10 })
	e.hall.there["ann"] = true
	e.hall.grants["mute"] = wire.Grants{Publish: []wire.Source{wire.Microphone}}
	const sdpType, json = "application/sdp", "application/json"
	for name, c := range map[string]struct {
		path, token, kind, accept, offer string
		status                           int
		code                             wire.ErrorCode
	}{
		"room's name":       {"/whip/Room", "obs", sdpType, "", goodOffer, 400, wire.CodeBadMessage},
		"unknown source":    {"/whip/room?source=window", "obs", sdpType, "", goodOffer, 400, wire.CodeBadMessage},
		"no SDP":            {"/whip/room", "obs", sdpType, "", "hello", 400, wire.CodeBadMessage},
		"nothing":           {"/whip/room", "obs", sdpType, "", "", 400, wire.CodeBadMessage},
		"no token":          {"/whip/room", "", sdpType, "", goodOffer, 401, wire.CodeUnauthorized},
		"expired token":     {"/whip/room", "expired", sdpType, "", goodOffer, 401, wire.CodeUnauthorized},
		"other room":        {"/whip/closed", "obs", sdpType, "", goodOffer, 403, wire.CodeForbidden},
		"no grant":          {"/whip/room", "mute", sdpType, "", goodOffer, 403, wire.CodeForbidden},
		"no grant to play":  {"/whep/room/ann", "mute", sdpType, "", goodPlayer, 403, wire.CodeForbidden},
		"no address":        {"/whip", "obs", sdpType, "", goodOffer, 404, wire.CodeNotFound},
		"no participant":    {"/whep/room/eve", "obs", sdpType, "", goodPlayer, 404, wire.CodeNotFound},
		"other answer":      {"/whip/room", "obs", sdpType, "text/html, application/sdp;q=0", goodOffer, 406, wire.CodeBadMessage},
		"too large":         {"/whip/room", "obs", sdpType, "", goodOffer + strings.Repeat("a=x\r\n", 1000), 413, wire.CodeTooLarge},
		"no type":           {"/whip/room", "obs", "", "", goodOffer, 415, wire.CodeBadMessage},
		"other type":        {"/whip/room", "obs", json, "", goodOffer, 415, wire.CodeBadMessage},
		"no media":          {"/whip/room", "obs", sdpType, "", offerHead, 422, wire.CodeBadMessage},
		"nothing sent":      {"/whip/room", "obs", sdpType, "", goodPlayer, 422, wire.CodeBadMessage},
		"nothing received":  {"/whep/room/ann", "obs", sdpType, "", goodOffer, 422, wire.CodeBadMessage},
		"two pictures":      {"/whip/room", "obs", sdpType, "", goodOffer + strings.Replace(offerVideo, "mid:1", "mid:2", 1), 422, wire.CodeBadMessage},
		"two to play":       {"/whep/room/ann", "obs", sdpType, "", goodPlayer + strings.Replace(offerVideo, "mid:1", "mid:2", 1), 422, wire.CodeBadMessage},
		"no mid":            {"/whip/room", "obs", sdpType, "", strings.Replace(goodOffer, "a=mid:1\r\n", "", 1), 422, wire.CodeBadMessage},
		"no ufrag":          {"/whip/room", "obs", sdpType, "", strings.ReplaceAll(goodOffer, "a=ice-ufrag:abcd\r\n", ""), 422, wire.CodeBadMessage},
		"no fingerprint":    {"/whip/room", "obs", sdpType, "", strings.ReplaceAll(goodOffer, "a=fingerprint", "a=x"), 422, wire.CodeBadMessage},
		"one mid for two":   {"/whip/room", "obs", sdpType, "", strings.Replace(goodOffer, "mid:1", "mid:0", 1), 422, wire.CodeBadMessage},
		"unknown codec":     {"/whip/room", "obs", sdpType, "", strings.Replace(goodOffer, "VP8", "Theora", 1), 422, wire.CodeBadMessage},
		"no codec to play":  {"/whep/room/ann", "obs", sdpType, "", strings.NewReplacer("VP8", "Theora", "opus", "speex").Replace(goodPlayer), 422, wire.CodeBadMessage},
		"failing keys":      {"/whip/room", "broken", sdpType, "", goodOffer, 500, wire.CodeInternal},
		"player's one mid":  {"/whep/room/ann", "obs", sdpType, "", strings.Replace(goodPlayer, "mid:1", "mid:0", 1), 422, wire.CodeBadMessage},
		"player's no print": {"/whep/room/ann", "obs", sdpType, "", strings.ReplaceAll(goodPlayer, "a=fingerprint", "a=x"), 422, wire.CodeBadMessage},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{"Content-Type", c.kind}
			if c.accept != "" {
				headers = append(headers, "Accept", c.accept)
			}
			r := e.do(http.MethodPost, c.path, c.token, c.offer, headers...)
			check(t, r, c.status, c.code)
			if got := r.Header.Get("WWW-Authenticate"); (got == "Bearer") != (c.status == 401) {
				t.Errorf("WWW-Authenticate: %q", got)
			}
			if r.Header.Get("Retry-After") == "" && name == "no participant" {
				t.Error("a player is not told to come back")
			}
			if n := e.hall.taken(); n != 0 {
				t.Errorf("%d places are taken", n)
			}
		})
	}
}

// A body that does not come is not waited for.
func TestSlowBody(t *testing.T) {
	e := newEndpoint(t, func(o *Options) { o.bodyTimeout = 50 * time.Millisecond })
	body, more := io.Pipe()
	defer more.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/whip/room", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer obs")
	req.Header.Set("Content-Type", "application/sdp")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestFullRoom(t *testing.T) {
	e := newEndpoint(t, nil)
	e.hall.full = true
	r := e.post("/whip/room", "obs", goodOffer)
	check(t, r, 503, wire.CodeRoomFull)
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestLimits(t *testing.T) {
	e := newEndpoint(t, func(o *Options) {
		o.Limits = Limits{Sessions: 4, SessionsPerRoom: 3, SessionsPerUser: 2, PatchesPerSecond: 2}
	})
	for _, user := range []string{"a", "a", "b"} {
		if r := e.post("/whip/room", user, goodOffer); r.StatusCode != 201 {
			t.Fatalf("%d %s", r.StatusCode, r.text)
		}
	}
	check(t, e.post("/whip/other", "a", goodOffer), 429, wire.CodeRateLimited)
	check(t, e.post("/whip/room", "c", goodOffer), 503, wire.CodeUnavailable)
	last := e.post("/whip/other", "c", goodOffer)
	if last.StatusCode != 201 {
		t.Fatalf("%d %s", last.StatusCode, last.text)
	}
	check(t, e.post("/whip/third", "d", goodOffer), 503, wire.CodeUnavailable)
	eventually(t, "a PATCH is one too many", func() bool {
		r := e.patch(last.Header.Get("Location"), "c", "*", "a=end-of-candidates\r\n")
		if r.StatusCode == 429 {
			check(t, r, 429, wire.CodeRateLimited)
		} else if r.StatusCode != 204 {
			t.Fatalf("a PATCH: %d %s", r.StatusCode, r.text)
		}
		return r.StatusCode == 429
	})
	e.do(http.MethodDelete, last.Header.Get("Location"), "c", "")
	if r := e.post("/whip/third", "d", goodOffer); r.StatusCode != 201 {
		t.Errorf("after a DELETE: %d %s", r.StatusCode, r.text)
	}
}

func TestPatchRefused(t *testing.T) {
	e := newEndpoint(t, func(o *Options) {
		o.Limits.FragmentBytes = 1 << 10
		o.Limits.PatchesPerSecond = 100
	})
	begun := e.post("/whip/room", "obs", goodOffer)
	at, etag := begun.Header.Get("Location"), begun.Header.Get("ETag")
	const kind = "application/trickle-ice-sdpfrag"
	for name, c := range map[string]struct {
		at, token, kind, match, body string
		status                       int
		code                         wire.ErrorCode
	}{
		"no fragment":     {at, "obs", kind, etag, "hello", 400, wire.CodeBadMessage},
		"half":            {at, "obs", kind, "*", "a=ice-ufrag:wxyz\r\n", 400, wire.CodeBadMessage},
		"no token":        {at, "", kind, etag, "", 401, wire.CodeUnauthorized},
		"expired token":   {at, "expired", kind, etag, "", 401, wire.CodeUnauthorized},
		"somebody else":   {at, "eve", kind, etag, "", 403, wire.CodeForbidden},
		"no session":      {"/whip/room/nothing", "obs", kind, etag, "", 404, wire.CodeNotFound},
		"other room":      {strings.Replace(at, "room", "other", 1), "obs", kind, etag, "", 404, wire.CodeNotFound},
		"wrong ETag":      {at, "obs", kind, `"x"`, "", 412, wire.CodeConflict},
		"weak ETag":       {at, "obs", kind, "W/" + etag, "", 412, wire.CodeConflict},
		"restart of that": {at, "obs", kind, `"x"`, "a=ice-ufrag:wxyz\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n", 412, wire.CodeConflict},
		"too large":       {at, "obs", kind, etag, strings.Repeat("a=x\r\n", 1000), 413, wire.CodeTooLarge},
		"an answer":       {at, "obs", "application/sdp", etag, goodPlayer, 415, wire.CodeBadMessage},
		"no ETag":         {at, "obs", kind, "", "", 428, wire.CodeBadMessage},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{"Content-Type", c.kind}
			if c.match != "" {
				headers = append(headers, "If-Match", c.match)
			}
			r := e.do(http.MethodPatch, c.at, c.token, c.body, headers...)
			check(t, r, c.status, c.code)
			if c.status == 415 && r.Header.Get("Accept-Patch") != kind {
				t.Errorf("Accept-Patch: %q", r.Header.Get("Accept-Patch"))
			}
		})
	}
	check(t, e.do(http.MethodDelete, at, "eve", ""), 403, wire.CodeForbidden)
	check(t, e.do(http.MethodDelete, at, "expired", ""), 401, wire.CodeUnauthorized)
	if r := e.patch(at, "obs", etag, ""); r.StatusCode != 204 {
		t.Errorf("the session did not outlive it: %d %s", r.StatusCode, r.text)
	}
}

func TestMethods(t *testing.T) {
	e := newEndpoint(t, nil)
	for at, c := range map[string]struct{ accept, allowed, refused string }{
		"/whip/room":         {"Accept-Post", "POST", "PUT PATCH DELETE"},
		"/whep/room/ann":     {"Accept-Post", "POST", "PUT PATCH DELETE"},
		"/whip/room/id/":     {},
		"/whep/room/ann/id":  {"Accept-Patch", "PATCH, DELETE", "PUT POST"},
		"/whip/room/session": {"Accept-Patch", "PATCH, DELETE", "PUT POST"},
	} {
		if c.accept == "" {
			check(t, e.do(http.MethodOptions, at, "", ""), 404, wire.CodeNotFound)
			continue
		}
		r := e.do(http.MethodOptions, at, "", "", "Origin", "https://studio.example")
		if r.StatusCode != 200 || r.Header.Get(c.accept) == "" || !strings.HasPrefix(r.Header.Get("Access-Control-Allow-Methods"), c.allowed) ||
			!strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "If-Match") || r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("OPTIONS %s: %d %v", at, r.StatusCode, r.Header)
		}
		for method := range strings.SplitSeq(c.refused, " ") {
			r := e.do(method, at, "obs", goodOffer, "Content-Type", "application/sdp")
			check(t, r, 405, wire.CodeBadMessage)
			if !strings.HasPrefix(r.Header.Get("Allow"), c.allowed) {
				t.Errorf("%s %s: Allow is %q", method, at, r.Header.Get("Allow"))
			}
		}
		if r := e.do(http.MethodGet, at, "", ""); r.StatusCode != 204 || r.text != "" {
			t.Errorf("GET %s: %d %q", at, r.StatusCode, r.text)
		}
	}
}

func TestICEServers(t *testing.T) {
	e := newEndpoint(t, func(o *Options) {
		o.ICEServers = func(id wire.ParticipantID) []wire.ICEServer {
			return []wire.ICEServer{
				{URLs: []string{"stun:stun.example:3478"}},
				{URLs: []string{"turn:turn.example?transport=udp", "turns:turn.example"}, Username: `a "b"`, Credential: `c\` + string(id)},
			}
		}
	})
	got := e.post("/whip/room", "obs", goodOffer).Header.Values("Link")
	want := []string{
		`<stun:stun.example:3478>; rel="ice-server"`,
		`<turn:turn.example?transport=udp>; rel="ice-server"; username="a \"b\""; credential="c\\obs-b"; credential-type="password"`,
		`<turns:turn.example>; rel="ice-server"; username="a \"b\""; credential="c\\obs-b"; credential-type="password"`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("Link:\n%s", strings.Join(got, "\n"))
	}
	// Before there is an offer they are for those who bring a token.
	for token, want := range map[string]int{"": 0, "expired": 0, "obs": 3} {
		r := e.do(http.MethodOptions, "/whip/room", token, "")
		if n := len(r.Header.Values("Link")); r.StatusCode != 200 || n != want {
			t.Errorf("OPTIONS of %q: %d with %d servers, want %d", token, r.StatusCode, n, want)
		}
	}
}

// A player whose codecs are good for the sound only gets the sound.
func TestPartialPlayer(t *testing.T) {
	e := newEndpoint(t, nil)
	e.hall.there["ann"] = true
	r := e.post("/whep/room/ann", "obs", strings.Replace(goodPlayer, "VP8", "Theora", 1))
	if r.StatusCode != 201 || !strings.Contains(r.text, "m=video 0 ") || strings.Count(r.text, "a=sendonly") != 1 {
		t.Errorf("%d %s", r.StatusCode, r.text)
	}
}

// What stands in an answer, by the RFC.
func TestAnswer(t *testing.T) {
	e := newEndpoint(t, nil)
	e.hall.there["ann"] = true
	for path, c := range map[string]struct{ offer, direction string }{
		"/whip/room":                   {goodOffer, "recvonly"},
		"/whip/room?source=camera":     {strings.ReplaceAll(goodOffer, "a=sendonly", "a=sendrecv"), "recvonly"},
		"/whep/room/ann":               {goodPlayer, "sendonly"},
		"/whep/room/ann?source=screen": {goodPlayer, "sendonly"},
		"/whep/room/ann?":              {strings.ReplaceAll(goodPlayer, "a=recvonly", "a=sendrecv"), "sendonly"},
	} {
		r := e.post(path, "obs", c.offer)
		if r.StatusCode != 201 || r.Header.Get("Content-Type") != "application/sdp" {
			t.Errorf("%s: %d %q %s", path, r.StatusCode, r.Header.Get("Content-Type"), r.text)
			continue
		}
		plain, _, _ := strings.Cut(path, "?")
		if at := r.Header.Get("Location"); !strings.HasPrefix(at, plain+"/") || len(at) < len(plain)+20 {
			t.Errorf("Location: %s", at)
		}
		for line, times := range map[string]int{
			"a=" + c.direction + "\r\n": 2, "a=setup:passive\r\n": 2, "a=end-of-candidates\r\n": 1, "a=mid:0\r\n": 1, "a=mid:1\r\n": 1, "a=group:BUNDLE 0 1\r\n": 1,
		} {
			if strings.Count(r.text, line) != times {
				t.Errorf("%s: %q is not there %d times:\n%s", path, line, times, r.text)
			}
		}
		audio, video, _ := strings.Cut(r.text, "m=video")
		if !strings.Contains(audio, "a=candidate:") || strings.Contains(video, "a=candidate:") {
			t.Errorf("%s: the candidates do not stand in the first section:\n%s", path, r.text)
		}
	}
}
