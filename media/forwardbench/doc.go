// Package forwardbench is what measures forwarders of media: servers to be measured and the load that is put on them.
//
// The servers (Serve) run in a process of their own and speak one small protocol over HTTP on the loopback, so that
// the same load can be put on all: a client posts an offer of what it publishes and gets the answer, then it takes
// the offers of what it is to receive, one after another, and posts its answers. The load (Open) is real clients, pion
// on loopback UDP, with its default interceptors: they send receiver reports, NACKs and transport-wide feedback. Each
// packet bears its number and the time at which it was sent, so that what is lost, repeated or late is seen.
//
//	load: publisher -UDP-> server -UDP-> receiver     in cmd/confab-bench, which reads the server's CPU time
//
// Concurrency. A Load's goroutines are its publishers' pacers and its clients' readers; Close ends and awaits them.
// Its methods are for one goroutine. The package imports media, whose Server is one of those measured.
package forwardbench
