//go:build unix && !(linux && (amd64 || arm64))

package socket

import "syscall"

// Can says whether all of this works here. Where it does not, nothing has come in,
// and there is room for nothing.
const Can = true

// Read reads what has come in. It returns EAGAIN if nothing has.
func Read(fd uintptr, b []byte) (int, error) {
	for {
		if n, err := syscall.Read(int(fd), b); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// Peek returns EAGAIN if nothing has come in. What has stays there.
func Peek(fd uintptr) error {
	var b [1]byte
	for {
		if _, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK); err != syscall.EINTR {
			return err
		}
	}
}

// Write writes what there is room for. It returns EAGAIN if there is none.
func Write(fd uintptr, b []byte) (int, error) {
	for {
		if n, err := syscall.Write(int(fd), b); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
