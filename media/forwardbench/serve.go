package forwardbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/metrics"
	"strconv"
	"time"
)

// A Kind is a server that can be measured.
type Kind string

// The kinds of servers.
const (
	Naive  Kind = "naive"  // pion's TrackLocalStaticRTP with its default interceptors, on one UDP port
	Bare   Kind = "bare"   // the same without interceptors: nobody repairs, reports or gives feedback
	Confab Kind = "confab" // media.Server
)

// Serve runs a server of one kind until ctx ends: its protocol on the address addr, its media on a free UDP port of
// 127.0.0.1.
func Serve(ctx context.Context, kind Kind, addr string) error {
	f, err := newForwarder(kind)
	if err != nil {
		return err
	}
	return errors.Join(serve(ctx, f, addr), f.close())
}

func newForwarder(kind Kind) (forwarder, error) {
	switch kind {
	case Naive, Bare:
		return newNaive(kind == Naive)
	case Confab:
		return newOwn()
	default:
		return nil, fmt.Errorf("forwardbench: there is no server %q", kind)
	}
}

func serve(ctx context.Context, f forwarder, addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler(f), ReadHeaderTimeout: time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler serves the protocol: see forwarder, whose methods are its paths.
func handler(f forwarder) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		var offer message
		if read(w, r, &offer) {
			answer, err := f.publish(r.Context(), participantOf(r), offer)
			reply(w, answer, err)
		}
	})
	mux.HandleFunc("POST /offer", func(w http.ResponseWriter, r *http.Request) {
		tracks, err := strconv.Atoi(r.URL.Query().Get("tracks"))
		if err != nil {
			reply(w, nil, err)
			return
		}
		offer, err := f.offer(r.Context(), participantOf(r), tracks)
		reply(w, offer, err)
	})
	mux.HandleFunc("POST /answer", func(w http.ResponseWriter, r *http.Request) {
		var answer message
		if read(w, r, &answer) {
			reply(w, struct{}{}, f.answer(r.Context(), participantOf(r), answer))
		}
	})
	mux.HandleFunc("POST /stats", func(w http.ResponseWriter, _ *http.Request) { reply(w, stats(), nil) })
	return mux
}

func read(w http.ResponseWriter, r *http.Request, m *message) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, maxMessage)).Decode(m); err != nil {
		reply(w, nil, err)
		return false
	}
	return true
}

func reply(w http.ResponseWriter, body any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(body) // it fails when the client is gone
}

// stats reads what this process has allocated. Unlike runtime.ReadMemStats it stops nobody.
func stats() Stats {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	return Stats{Mallocs: sample[0].Value.Uint64()}
}
