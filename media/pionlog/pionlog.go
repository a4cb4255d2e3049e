// Package pionlog hands pion's logs to slog. What pion calls a warning is for debugging, and what it calls an error is
// often only somebody's network or what a stranger has sent.
package pionlog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// New returns a factory of pion's loggers, each of which names its scope. What pion calls an error has level errors.
func New(log *slog.Logger, errors slog.Level) logging.LoggerFactory { return factory{log, errors} }

type factory struct {
	log    *slog.Logger
	errors slog.Level
}

// NewLogger implements logging.LoggerFactory.
func (f factory) NewLogger(scope string) logging.LeveledLogger {
	return logger{f.log.With("pion", scope), f.errors}
}

type logger struct {
	log    *slog.Logger
	errors slog.Level
}

func (logger) Trace(string)                    {}
func (logger) Tracef(string, ...any)           {}
func (logger) Debug(string)                    {}
func (logger) Debugf(string, ...any)           {}
func (logger) Info(string)                     {}
func (logger) Infof(string, ...any)            {}
func (l logger) Warn(text string)              { l.log.Debug(text) }
func (l logger) Warnf(format string, a ...any) { l.log.Debug(fmt.Sprintf(format, a...)) }
func (l logger) Error(text string)             { l.log.Log(context.Background(), l.errors, text) }
func (l logger) Errorf(format string, a ...any) {
	l.log.Log(context.Background(), l.errors, fmt.Sprintf(format, a...))
}
