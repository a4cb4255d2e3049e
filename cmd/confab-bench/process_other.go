//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

const supported = false

var errLinuxOnly = errors.New("the figures are read from Linux's /proc")

func cpuTime(int) (time.Duration, error)    { return 0, errLinuxOnly }
func busyTime() time.Duration               { return 0 }
func residentBytes(int) (int64, error)      { return 0, errLinuxOnly }
func loadAverage() float64                  { return 0 }
func cpuModel() string                      { return "unknown processor" }
func fileLimit() int                        { return 1024 }
func childAttributes() *syscall.SysProcAttr { return nil }
func setTimerSlack(int) error               { return nil }
