package signaling

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

// TestHeadersOfEveryRoute asks for everything that the router knows, and for what it does not know.
func TestHeadersOfEveryRoute(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Web = testApp()
		o.Routes = func(r gin.IRouter) {
			r.GET("/api/v1/panic", func(*gin.Context) { panic("a handler that panics") })
			r.POST("/whip/:room", func(c *gin.Context) { c.Status(http.StatusCreated) })
		}
	})
	routes := append(w.engine.Routes(),
		gin.RouteInfo{Method: "GET", Path: "/"}, gin.RouteInfo{Method: "GET", Path: "/r/some-room"}, gin.RouteInfo{Method: "HEAD", Path: "/"},
		gin.RouteInfo{Method: "GET", Path: "/assets/app-1.js"}, gin.RouteInfo{Method: "GET", Path: "/assets/none.js"},
		gin.RouteInfo{Method: "DELETE", Path: "/"}, gin.RouteInfo{Method: "POST", Path: "/nowhere"}, gin.RouteInfo{Method: "GET", Path: "/healthz/"},
		gin.RouteInfo{Method: "GET", Path: "//evil.example/"},
	)
	if len(routes) < 15 {
		t.Fatalf("%d routes: the walk sees too little", len(routes))
	}
	params := regexp.MustCompile(`[:*]\w+`)
	for _, route := range routes {
		t.Run(route.Method+" "+route.Path, func(t *testing.T) {
			r := httptest.NewRequest(route.Method, "http://confab.example/", nil)
			r.URL.Path = params.ReplaceAllString(route.Path, "x")
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Authorization", "Bearer none")
			answer := httptest.NewRecorder()
			w.Handler().ServeHTTP(answer, r)
			h := answer.Header()
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
				"Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY", "Strict-Transport-Security": "",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			policy, permissions := dataPolicy, noPermissions
			if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
				policy, permissions = contentPolicy+"'none'", permissionsPolicy
			}
			if h.Get("Content-Security-Policy") != policy || h.Get("Permissions-Policy") != permissions {
				t.Errorf("%d %s: %q, %q", answer.Code, h.Get("Content-Type"), h.Get("Content-Security-Policy"), h.Get("Permissions-Policy"))
			}
		})
	}
}

func TestHeadersOverTLS(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Web = testApp() })
	server := httptest.NewTLSServer(w.Handler())
	defer server.Close()
	for _, path := range []string{"/", "/healthz", "/nowhere"} {
		resp, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Strict-Transport-Security"); got != transportPolicy {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestEmbedOrigins(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Web, o.EmbedOrigins = testApp(), []string{"https://intranet.example", "https://wiki.example"}
	})
	page, _ := w.get("/", nil)
	if got := page.Header.Get("Content-Security-Policy"); !strings.HasSuffix(got, "; frame-ancestors 'self' https://intranet.example https://wiki.example") {
		t.Errorf("policy of the page: %s", got)
	}
	if got, any := page.Header["X-Frame-Options"]; any {
		t.Errorf("X-Frame-Options %q would keep older browsers from what is allowed", got)
	}
	data, _ := w.get("/healthz", nil)
	if data.Header.Get("Content-Security-Policy") != dataPolicy || data.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("what is no page: %v", data.Header)
	}
}

// TestForeignPages has a browser send what a page of another origin wants it to.
func TestForeignPages(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Web, o.Origins = testApp(), []string{"https://friend.example"}
		o.Routes = func(r gin.IRouter) { r.POST("/change", func(c *gin.Context) { c.Status(http.StatusNoContent) }) }
	})
	tests := []struct {
		name, method, path, origin, authorization string
		want                                      int
	}{
		{"our own page", "POST", "/change", "http://confab.example", "", 204},
		{"no browser", "POST", "/change", "", "", 204},
		{"a page that is allowed", "POST", "/change", "https://friend.example", "", 204},
		{"a foreign page", "POST", "/change", "https://evil.example", "", 403},
		{"a page in a sandbox, or of a file", "POST", "/change", "null", "", 403},
		{"our name by another scheme's port", "POST", "/change", "http://confab.example:81", "", 403},
		{"a foreign page with a token, which it was given", "POST", "/change", "https://evil.example", "Bearer t", 204},
		{"a foreign page, where there is nothing", "DELETE", "/nowhere", "https://evil.example", "", 403},
		{"a link on a foreign page", "GET", "/", "", "", 200},
		{"the socket, from a foreign page", "GET", "/ws", "https://evil.example", "", 403},
		{"the socket, from a foreign page with a token", "GET", "/ws", "https://evil.example", "Bearer t", 403},
		{"the socket below the API", "GET", "/api/ws", "null", "", 403},
		{"events, from a foreign page", "POST", "/session", "https://evil.example", "", 403},
		{"events, from a foreign page with a ticket", "GET", "/events", "https://evil.example", "Bearer t", 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "http://confab.example"+tt.path, nil)
			r.Header.Set("Accept", "text/html")
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			answer := httptest.NewRecorder()
			w.Handler().ServeHTTP(answer, r)
			if answer.Code != tt.want {
				t.Errorf("%d, want %d: %s", answer.Code, tt.want, answer.Body)
			}
		})
	}
}
