//go:build unix

package http1

import "syscall"

// canLook says that a socket can be looked into without waiting.
const canLook = true

// readNow reads what has come in; EAGAIN means nothing has.
func readNow(fd uintptr, b []byte) (int, error) {
	for {
		if n, err := syscall.Read(int(fd), b); err != syscall.EINTR {
			return n, err
		}
	}
}

// writeNow writes what there is room for; EAGAIN means there is none.
func writeNow(fd uintptr, b []byte) (int, error) {
	for {
		if n, err := syscall.Write(int(fd), b); err != syscall.EINTR {
			return n, err
		}
	}
}
