// Package pionlog hands pion's logs to slog. What pion calls an error is often only somebody's network, so it is a
// warning, and what it calls a warning is for debugging.
package pionlog

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// New returns a factory of pion's loggers, each of which names its scope.
func New(log *slog.Logger) logging.LoggerFactory { return factory{log} }

type factory struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (f factory) NewLogger(scope string) logging.LeveledLogger {
	return logger{f.log.With("pion", scope)}
}

type logger struct{ log *slog.Logger }

func (logger) Trace(string)                    {}
func (logger) Tracef(string, ...any)           {}
func (logger) Debug(string)                    {}
func (logger) Debugf(string, ...any)           {}
func (logger) Info(string)                     {}
func (logger) Infof(string, ...any)            {}
func (l logger) Warn(text string)              { l.log.Debug(text) }
func (l logger) Warnf(format string, a ...any) { l.log.Debug(fmt.Sprintf(format, a...)) }
func (l logger) Error(text string)             { l.log.Warn(text) }
func (l logger) Errorf(format string, a ...any) {
	l.log.Warn(fmt.Sprintf(format, a...))
}
