// Package bandwidth works out how much the path to one receiver carries, and which of its tracks get it.
//
// It is arithmetic: no input or output, no goroutine and no clock; time is a parameter. Nothing in it is safe for
// concurrent use. It imports the standard library and signaling/wire, never pion.
package bandwidth
