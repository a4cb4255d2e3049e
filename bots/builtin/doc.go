// Package builtin answers without a model: by rules, from the room's own log, participants and call. It needs no key, no
// network and no model file, cannot be out of service, and so is what other engines fall back to.
//
// # Model
//
// An Engine is a provider.Model and plays by its rules: it sees one Request, asks for tools by calls, gets their results
// in the next turn, and emits text. It keeps nothing between turns: each turn reads the question anew and works out what
// it still has to ask for, so that the same request always gets the same turn.
//
// What it can do is ordered by skills, which a persona has some of (Question.Skills; none = all):
//
//   - scribe: minutes, topics, decisions, action items, open questions, summaries, what the asker missed;
//   - librarian: who said it, when, how often; search and quotes;
//   - host: help, polls, timers, dice, picks, orders of speaking, speaking time, connections, agendas;
//   - companion: small talk, sums, units, dates, time zones, number bases.
//
// A skill is a list of intents: patterns, in order, of which the first that matches answers.
//
// # What people wrote
//
// Only the question is read for what is wanted; what stands in messages, names and outputs of tools is quoted and never
// acted upon. It is written by tool.Plain, so that it cannot be formatting, a link, a mention or a line of its own. What
// an answer rests on is cited by a link to #mSEQ with the time and the name.
//
// The package imports the standard library (with its time zones), bots/provider and bots/tool.
package builtin
