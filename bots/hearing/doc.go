// Package hearing has what people say in calls written down.
//
// # Model
//
// A Service has a Transcriber, which makes text of sound, and taps, which bring what people send into rooms' calls; both
// are somewhere else, and no sound is decoded here. An Ear hears one room. What each person sends goes through a
// detector, which finds by the levels that packets tell (RFC 6464) where speech begins and ends. A segment of speech is
// put into an Ogg stream as it came, and given to the Transcriber; its text goes to the Listener. Of nobody whose client
// tells no levels is anything heard, and of nobody whom the Listener does not want to be heard.
//
// A segment begins with the third loud packet in a row, and has the 300 ms before; it ends after 700 ms of silence. A speech
// of more than 15 s goes on in the next segment, which begins with 80 ms of the one before, so that its decoder is ready
// in time. What is shorter than 300 ms is a noise.
//
// What waits is bounded for each room; the oldest segments are dropped. Nothing of the sound is kept once it is text.
//
// # Concurrency
//
// An Ear has one goroutine, and one for each segment that is being written down, a few at a time; all end with the Ear,
// and with the Service. What is brought to it never blocks.
package hearing
