//go:build !linux

package plane

import "net"

func newSystem(conn *net.UDPConn, _ bool) (system, error) { return newPlain(conn), nil }
