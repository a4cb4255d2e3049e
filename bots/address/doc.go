// Package address says which bots of a room a message is meant for, before any model is asked.
//
// # Model
//
// A Conversation is one timeline: the main one of a room, or a thread. Each message that is said there, by people and
// by bots, goes through Decide once, in order; the Decision names the bots that answer it and why, or why none does.
// The rules, of which the first that finds a bot decides:
//
//  1. a private conversation is always its bot's;
//  2. explicit mentions: @name in the text, or the message's list of mentions;
//  3. a name by which a sentence addresses somebody: "Scribe, ...", "hey Scribe ...", "what did I miss, Scribe?";
//  4. a reply to what a bot said;
//  5. what reads like a follow-up, from the one whom a bot answered within the last 30 s, when nobody else is addressed;
//  6. otherwise nobody answers.
//
// What was said aloud addresses by a name that begins a sentence, and by rule 5: people talk about bots, and a machine that
// writes it down puts commas where it likes.
//
// Code, quotes (of lines and in quotation marks), links and e-mail addresses address nobody. Nor does talk about a bot.
//
// Bots answer bots by rule 2 alone, and not when the message has come over two bots, when the two have used up what they
// may say to each other, or when the bot repeats itself.
//
// Names are compared as people read them: without regard to case, accents, the forms of Arabic letters, and characters
// that cannot be seen. Cue words are known in English, German, French, Spanish and Arabic; mentions, commas and question
// marks work in any language.
//
// # Concurrency
//
// A Conversation belongs to one goroutine. Nothing here waits, reads a clock, or grows with the number of messages.
//
// The package imports the standard library and golang.org/x/text.
package address
