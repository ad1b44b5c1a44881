//go:build !unix

package socket

import "syscall"

// Can says whether all of this works here. Where it does not, nothing has come in,
// and there is room for nothing.
const Can = false

// Read reads what has come in. It returns EAGAIN if nothing has.
func Read(uintptr, []byte) (int, error) { return 0, syscall.EAGAIN }

// Peek returns EAGAIN if nothing has come in. What has stays there.
func Peek(uintptr) error { return syscall.EAGAIN }

// Write writes what there is room for. It returns EAGAIN if there is none.
func Write(uintptr, []byte) (int, error) { return 0, syscall.EAGAIN }
