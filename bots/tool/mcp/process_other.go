//go:build !unix

package mcp

import "os/exec"

func ownGroup(*exec.Cmd) {}

// terminateGroup does nothing: there is no signal to ask by. killGroup ends the process alone.
func terminateGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) {
	cmd.Process.Kill() //nolint:errcheck // it has ended
}
