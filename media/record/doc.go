// Package record writes what participants of a room publish to files, without decoding it.
//
// The model: a Recorder owns a folder and the recordings in it; a Recording is one room from start to stop and has a
// folder of its own; a published track becomes one file there. A manifest says what the files are and how they lie in
// time; chat is kept beside it, one message a line.
//
//	RTP: TrackWriter.Write -> queue -> reorder -> assembler (codec) -> clock -> container -> file
//
// Opus, VP8, VP9 and AV1 go into WebM, H.264 into Matroska, which is the same container with another name. A file
// grows by whole clusters of at most half a second, so that a killed process loses no more than the last second and
// what is there can be played: the header needs nothing that is known only at the end. When a file is ended in good
// order it also gets its duration and an index.
//
// Concurrency. Each Recording has one goroutine, which the Recorder starts and waits for; it alone touches the files.
// Everything else reaches it through a queue that is bounded in bytes and never blocks: when the disk cannot keep up,
// the recording ends with a reason and the call goes on.
//
// It knows nothing of rooms and of the SFU: who feeds it hands over descriptions, packets and reports. It imports
// signaling/wire, depacketizers and a Matroska encoder, and must not import rooms or signaling.
package record
