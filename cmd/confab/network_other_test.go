//go:build !linux

package main

import (
	"os/exec"
	"testing"
)

// A network is for Linux.
type network struct{}

func newNetwork(*testing.T) *network { return nil }

func (*network) namespace(int) string { return "" }
func (*network) address(int) string   { return "" }
func (*network) part(*testing.T, int) {}
func (*network) mend(*testing.T, int) {}

func runIn(*exec.Cmd, string) {}
