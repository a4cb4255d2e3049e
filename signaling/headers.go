package signaling

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"confab/signaling/wire"
)

// contentPolicy allows the app what it needs and nothing of other origins (CSP level 3). Styles of our own files
// only: Vue sets properties through the CSSOM, which the policy does not concern.
const contentPolicy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; " +
	"img-src 'self' data: blob:; media-src 'self' blob: mediastream:; worker-src 'self' blob:; connect-src 'self'; " +
	"object-src 'none'; form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'; frame-ancestors "

// dataPolicy is for all that is no page: should a browser show it, it can do nothing.
const dataPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const permissionsPolicy = "camera=(self), microphone=(self), display-capture=(self), picture-in-picture=(self), " +
	"fullscreen=(self), geolocation=(), payment=(), usb=()"

// noPermissions is permissionsPolicy for all that is no page.
const noPermissions = "camera=(), microphone=(), display-capture=(), geolocation=(), payment=(), usb=()"

// transportPolicy has browsers come by TLS for a year (RFC 6797 section 6.1). Other names below this one may be
// somebody else's.
const transportPolicy = "max-age=31536000"

// A header and its value, shared by all answers: they must not be changed.
type header struct {
	name  string // canonical
	value []string
}

// everywhere is what every answer bears, unless its handler knows better.
var everywhere = []header{
	{"X-Content-Type-Options", []string{"nosniff"}},
	{"Referrer-Policy", []string{"no-referrer"}},
	{"Cross-Origin-Resource-Policy", []string{"same-origin"}},
	{"Cross-Origin-Opener-Policy", []string{"same-origin"}},
	{"Content-Security-Policy", []string{dataPolicy}},
	{"Permissions-Policy", []string{noPermissions}},
	{"X-Frame-Options", []string{"DENY"}}, // for browsers that know no frame-ancestors
}

// secure sets the headers of every answer, and refuses what a foreign page has a browser send: a request that changes
// something, and that bears no Authorization. No browser sends that by itself, and nothing here trusts a cookie; but what
// asks for no token, such as a guest's, is for those who open our own pages.
func (s *Server) secure(c *gin.Context) {
	h := c.Writer.Header()
	for _, one := range everywhere {
		h[one.name] = one.value
	}
	if c.Request.TLS != nil {
		h.Set("Strict-Transport-Security", transportPolicy)
	}
	switch c.Request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return
	}
	if c.GetHeader("Authorization") == "" && !s.origins.Allow(c.Request) {
		wire.WriteProblem(c.Writer, 0, handshakeProblem(http.StatusForbidden, nil))
		c.Abort()
	}
}

// pageHeaders are those of the app's page, which may stand in the frames of other pages where embed names their
// origins (* = any).
func pageHeaders(embed []string) []header {
	ancestors, frame := "'none'", []string{"DENY"}
	if len(embed) > 0 {
		ancestors, frame = "'self' "+strings.Join(embed, " "), nil
	}
	return []header{
		{"Content-Security-Policy", []string{contentPolicy + ancestors}},
		{"Permissions-Policy", []string{permissionsPolicy}},
		{"X-Frame-Options", frame},
	}
}
