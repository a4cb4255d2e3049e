package signaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"confab/rooms"
	"confab/signaling/audit"
	"confab/signaling/openapi"
	"confab/signaling/wire"
)

// listPatience is how long the other nodes have to say which rooms they run.
const listPatience = 3 * time.Second

// An adminQuestion is a request that another node has admitted, and that concerns rooms of this one.
type adminQuestion struct {
	Admin *admittedRequest `json:"admin"`
}

type admittedRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"` // path and query
	Body   []byte `json:"body,omitempty"`
}

// An adminAnswer is what became of it. Entry holds what the audit log of the node that has admitted it will say.
type adminAnswer struct {
	Status int         `json:"status"`
	Moved  bool        `json:"moved,omitempty"` // the room is not this node's any more, and nothing was done
	Body   []byte      `json:"body,omitempty"`
	Entry  audit.Entry `json:"entry"`
}

// serveAtOwner serves a request that concerns a room where that room is.
//
// Errors: *wire.Error with CodeUnavailable, CodeBadMessage or CodeTooLarge, and those of the route.
func (h *AdminHandler) serveAtOwner(r *adminRequest, route *adminRoute) (any, error) {
	body, err := r.readBody()
	if err != nil {
		return nil, err
	}
	for range maxMoves {
		node, err := h.nodes.Owner(r.ctx, r.room)
		if err != nil {
			return nil, errNoOwner(err)
		}
		if node == "" {
			r.Request.Body = io.NopCloser(bytes.NewReader(body))
			return route.serve(h, r)
		}
		answer, err := h.askNode(r.ctx, node, admittedRequest{r.Request.Method, r.Request.URL.RequestURI(), body})
		switch {
		case err != nil && !errors.Is(err, rooms.ErrNodeGone): // it may have been done
			return nil, errNoOwner(err)
		case err == nil && !answer.Moved:
			r.entry.Target, r.entry.TargetUser, r.entry.Detail = answer.Entry.Target, answer.Entry.TargetUser, answer.Entry.Detail
			return answer.result()
		}
		h.nodes.Disown(r.room, node)
	}
	return nil, errNoOwner(errors.New("no node serves it"))
}

func errNoOwner(cause error) error {
	return &wire.Error{Code: wire.CodeUnavailable, Text: "the room cannot be reached now; try again", Err: cause}
}

// readBody reads the body, to be sent on.
//
// Errors: *wire.Error with CodeBadMessage or CodeTooLarge.
func (r *adminRequest) readBody() ([]byte, error) {
	_ = http.NewResponseController(r.Writer).SetReadDeadline(time.Now().Add(adminBodyTimeout)) // as decode does
	body, err := io.ReadAll(http.MaxBytesReader(r.Writer, r.Request.Body, maxAdminBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, wire.Errorf(wire.CodeTooLarge, "the body is larger than %d bytes", maxAdminBody)
	}
	if err != nil {
		return nil, &wire.Error{Code: wire.CodeBadMessage, Text: "the body did not arrive", Err: err}
	}
	return body, nil
}

// askNode has another node serve a request.
func (h *AdminHandler) askNode(ctx context.Context, node rooms.NodeID, request admittedRequest) (adminAnswer, error) {
	var answer adminAnswer
	data, err := h.nodes.AskOne(ctx, node, encodeQuestion(request))
	if err == nil {
		err = json.Unmarshal(data, &answer)
	}
	return answer, err
}

func encodeQuestion(request admittedRequest) []byte {
	question, err := json.Marshal(adminQuestion{&request})
	if err != nil {
		panic(err) // strings and bytes
	}
	return question
}

// result is the answer as a route gives it.
func (a *adminAnswer) result() (any, error) {
	switch {
	case a.Status >= http.StatusBadRequest:
		var problem openapi.Problem
		if err := json.Unmarshal(a.Body, &problem); err != nil {
			return nil, err
		}
		return nil, wire.Errorf(problem.Error.Code, "%s", problem.Error.Message)
	case len(a.Body) == 0:
		return nil, nil
	}
	return elsewhere{a.Body, a.Status == http.StatusCreated}, nil
}

// elsewhere is a body that another node has written.
type elsewhere struct {
	json.RawMessage
	fresh bool
}

func (e elsewhere) isNew() bool { return e.fresh }

// listElsewhere adds a page of the rooms of the other nodes.
func (h *AdminHandler) listElsewhere(r *adminRequest, own RoomsAnswer, limit int) RoomsAnswer {
	if h.nodes == nil || r.asked {
		return own
	}
	ctx, cancel := context.WithTimeout(r.ctx, listPatience)
	defer cancel()
	for _, data := range h.nodes.Ask(ctx, encodeQuestion(admittedRequest{Method: r.Request.Method, URL: r.Request.URL.RequestURI()})) {
		var answer adminAnswer
		var page RoomsAnswer
		if json.Unmarshal(data, &answer) == nil && answer.Status == http.StatusOK && json.Unmarshal(answer.Body, &page) == nil {
			own.Rooms, own.More = append(own.Rooms, page.Rooms...), own.More || page.More
		}
	}
	slices.SortFunc(own.Rooms, func(a, b rooms.Overview) int { return strings.Compare(string(a.Room), string(b.Room)) })
	if len(own.Rooms) > limit {
		own.Rooms, own.More = own.Rooms[:limit], true
	}
	return own
}

// Asked serves what another node has admitted; it is for Options.Asked. It reports false for other questions.
func (h *AdminHandler) Asked(question []byte) ([]byte, bool) {
	var q adminQuestion
	if json.Unmarshal(question, &q) != nil || q.Admin == nil {
		return nil, false
	}
	request, err := http.NewRequest(q.Admin.Method, q.Admin.URL, bytes.NewReader(q.Admin.Body))
	if err != nil {
		return nil, true
	}
	w := &answerWriter{header: http.Header{}, answer: adminAnswer{Status: http.StatusOK}}
	h.local.ServeHTTP(w, request.WithContext(context.WithValue(request.Context(), answerKey{}, &w.answer)))
	w.answer.Body = w.body.Bytes()
	data, err := json.Marshal(w.answer)
	if err != nil {
		panic(err) // strings, numbers and bytes
	}
	return data, true
}

// answerKey is where the context of a question holds its answer.
type answerKey struct{}

// localEngine serves the routes to other nodes: nothing is asked of them a second time, and they keep the audit.
func (h *AdminHandler) localEngine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, v any) {
		h.answer(c, nil, fmt.Errorf("panic: %v", v))
	}))
	for _, route := range adminRoutes {
		engine.Handle(route.Method, route.mounted(), func(c *gin.Context) {
			answer := c.Request.Context().Value(answerKey{}).(*adminAnswer) // Asked has put it there
			ctx, cancel := context.WithTimeout(c.Request.Context(), adminTimeout)
			defer cancel()
			body, err := route.serve(h, &adminRequest{Context: c, ctx: ctx, entry: &answer.Entry, room: wire.RoomID(c.Param("room")), asked: true})
			answer.Moved = errors.Is(err, rooms.ErrOtherOwner)
			h.answer(c, body, err)
		})
	}
	return engine
}

// An answerWriter keeps an answer.
type answerWriter struct {
	header http.Header
	body   bytes.Buffer
	answer adminAnswer
}

// Header implements http.ResponseWriter.
func (w *answerWriter) Header() http.Header { return w.header }

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

// WriteHeader implements http.ResponseWriter.
func (w *answerWriter) WriteHeader(status int) { w.answer.Status = status }
