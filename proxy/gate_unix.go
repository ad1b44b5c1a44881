//go:build unix

package proxy

import "syscall"

// canPeek says that a socket can be looked into without waiting.
const canPeek = true

// readNow reads what has come in; EAGAIN means nothing has.
func readNow(fd uintptr, b []byte) (int, error) {
	for {
		if n, err := syscall.Read(int(fd), b); err != syscall.EINTR {
			return n, err
		}
	}
}

// peekNow returns EAGAIN if nothing has come in, and leaves there what has.
func peekNow(fd uintptr) error {
	var b [1]byte
	for {
		if _, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK); err != syscall.EINTR {
			return err
		}
	}
}
