//go:build !unix

package proxy

import "net"

// A rawConn reads from a connection.
type rawConn struct{}

func (rawConn) open(net.Conn) {}

func (rawConn) read(nc net.Conn) (*scratch, int, error) { return readBuffered(nc) }

func (rawConn) readOn([]byte) int { return 0 }

func (rawConn) unread() bool { return true }
