//go:build !linux

package plane

import "net"

func newSystem(conn *net.UDPConn, _ bool) (system, error) { return newPlain(conn), nil }

// share makes no sockets: what comes to a port is not shared out.
func share(*net.UDPConn, int) ([]*net.UDPConn, error) { return nil, nil }

// steer does nothing, as there are no sockets to choose from.
func steer([]*net.UDPConn) (steering, error) { return nil, nil }
