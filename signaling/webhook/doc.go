// Package webhook tells programs elsewhere what happens in rooms, by HTTP requests that are signed as Standard Webhooks
// 1.0 asks (standardwebhooks.com).
//
// # Model
//
// A Sender takes events from rooms without waiting, puts each into a Queue once for every receiver, and delivers what is
// there:
//
//	room -> Tell -> backlog of a lane -> Queue, once a receiver -> POST -> receiver
//
// Events of one room share a lane, of which one is on its way at a time to each receiver, so those of a room arrive in
// order and a receiver that is slow or down holds back nobody but itself. What is not answered 2xx in time is tried again
// with growing pauses for a day, also by the next process: each event arrives at least once, and bears an id by which a
// receiver knows a repeat. 410 ends the deliveries to a receiver until the next start.
//
// What is not in the queue yet when the process is killed, milliseconds of events, is lost, and so is what a full backlog or
// queue does not take, which is counted.
//
// # Concurrency
//
// A Sender may be used from any goroutine. It owns one goroutine for each lane, one for each lane of each receiver, and
// one that counts; Close ends them.
//
// The package knows the events of rooms, no socket, and not what its Queue is made of.
package webhook
