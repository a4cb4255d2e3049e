// Package voice speaks the answers of bots into calls.
//
// # Model
//
// A Service has a speech endpoint, which makes sound of text, and microphones, through which the rooms' calls hear it;
// both are somewhere else, and no sound is encoded or decoded here. A Speaker is one bot in one room. What it is told of
// an answer is cut into sentences (splitter), each of which becomes a clip: Opus packets, which come while the clip is
// played already. Two sentences ahead of what is heard are made, and no more: most of what is interrupted was never
// paid for.
//
// A room has one floor. One answer after the other has it, whichever bot's, and it speaks only when all people have been
// silent for 300 ms. When a person speaks, it falls silent with the next packet. Less than 500 ms of that is a word of
// assent: the sentence is begun again. Otherwise the rest of the answer is not spoken.
//
// # Concurrency
//
// A floor has one goroutine, which plays and tells; each clip has one while it comes in. They end with the room's last
// Speaker, and with the Service. What is told of answers never blocks.
package voice
