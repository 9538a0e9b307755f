package main

import (
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"phantom/internal/config"
)

// newLog writes to stderr: console on a terminal, JSON elsewhere, unless told otherwise.
func newLog(c config.Log) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, err
	}
	settings := zap.NewProductionConfig()
	settings.Level = zap.NewAtomicLevelAt(level)
	settings.EncoderConfig.EncodeTime = zapcore.RFC3339TimeEncoder
	settings.DisableStacktrace = true
	settings.Sampling = nil
	format := c.Format
	if format == config.LogAuto && term.IsTerminal(int(os.Stderr.Fd())) {
		format = config.LogConsole
	}
	if format == config.LogConsole {
		settings.Encoding = "console"
		settings.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
	}
	return settings.Build()
}

// temporalLog hands the SDK's lines to zap.
type temporalLog struct{ log *zap.SugaredLogger }

func newTemporalLog(log *zap.Logger) temporalLog {
	return temporalLog{log.Named("temporal").WithOptions(zap.AddCallerSkip(1)).Sugar()}
}

func (l temporalLog) Debug(msg string, keyvals ...any) { l.log.Debugw(msg, keyvals...) }
func (l temporalLog) Info(msg string, keyvals ...any)  { l.log.Debugw(msg, keyvals...) } // the SDK is talkative
func (l temporalLog) Warn(msg string, keyvals ...any)  { l.log.Warnw(msg, keyvals...) }
func (l temporalLog) Error(msg string, keyvals ...any) { l.log.Errorw(msg, keyvals...) }
