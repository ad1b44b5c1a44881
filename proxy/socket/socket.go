// Package socket reads from sockets and writes to them as far as that goes without
// waiting. It is for functions that are given a file descriptor by a
// [syscall.RawConn], which waits for what there is to wait for.
//
// Where it can, it does without what the runtime does around a system call that
// may take long, and without what the kernel does for files that are no sockets:
// together a twentieth of a hit. So what is written at once should not be much.
package socket
