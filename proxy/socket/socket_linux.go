//go:build linux && (amd64 || arm64)

package socket

import (
	"syscall"
	"unsafe"
)

// Can says whether all of this works here. Where it does not, nothing has come in,
// and there is room for nothing.
const Can = true

// Read reads what has come in. It returns EAGAIN if nothing has.
func Read(fd uintptr, b []byte) (int, error) { return call(syscall.SYS_RECVFROM, fd, b, 0) }

// Peek returns EAGAIN if nothing has come in. What has stays there.
func Peek(fd uintptr) error {
	var b [1]byte
	_, err := call(syscall.SYS_RECVFROM, fd, b[:], syscall.MSG_PEEK)
	return err
}

// Write writes what there is room for. It returns EAGAIN if there is none.
func Write(fd uintptr, b []byte) (int, error) {
	return call(syscall.SYS_SENDTO, fd, b, syscall.MSG_NOSIGNAL)
}

func call(trap, fd uintptr, b []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags|syscall.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
