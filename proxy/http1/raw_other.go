//go:build !unix

package http1

import "syscall"

// canLook says that a socket can be looked into without waiting. Where it cannot,
// a connection ends with its first response.
const canLook = false

func readNow(uintptr, []byte) (int, error) { return 0, syscall.EAGAIN }

func writeNow(uintptr, []byte) (int, error) { return 0, syscall.EAGAIN }
