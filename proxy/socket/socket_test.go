package socket_test

import (
	"net"
	"syscall"
	"testing"

	"surrogate/proxy/socket"
)

// pair returns both ends of a connection, and what does something to the first.
func pair(t *testing.T) (near, far *net.TCPConn, with func(f func(fd uintptr))) {
	if !socket.Can {
		t.Skip("not here")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	near, far = c.(*net.TCPConn), d.(*net.TCPConn)
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return near, far, func(f func(fd uintptr)) {
		t.Helper()
		if err := raw.Control(f); err != nil {
			t.Fatal(err)
		}
	}
}

// await waits until something has come in, its end included.
func await(t *testing.T, near *net.TCPConn) {
	t.Helper()
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Read(func(fd uintptr) bool { return socket.Peek(fd) != syscall.EAGAIN }); err != nil {
		t.Fatal(err)
	}
}

// Nothing waits, whatever there is, and only Read takes it.
func TestRead(t *testing.T) {
	near, far, with := pair(t)
	b := make([]byte, 10)
	with(func(fd uintptr) {
		if err := socket.Peek(fd); err != syscall.EAGAIN {
			t.Error("Peek, of nothing:", err)
		}
		if n, err := socket.Read(fd, b); n != 0 || err != syscall.EAGAIN {
			t.Error("Read, of nothing:", n, err)
		}
	})
	far.Write([]byte("some"))
	await(t, near)
	with(func(fd uintptr) {
		if err := socket.Peek(fd); err != nil {
			t.Error("Peek, of something:", err)
		}
		if n, err := socket.Read(fd, b); string(b[:n]) != "some" || err != nil {
			t.Errorf("Read, of something: %q %v", b[:n], err)
		}
	})
	far.Close()
	await(t, near)
	with(func(fd uintptr) {
		if err := socket.Peek(fd); err != nil {
			t.Error("Peek, of the end:", err)
		}
		if n, err := socket.Read(fd, b); n != 0 || err != nil {
			t.Error("Read, of the end:", n, err)
		}
	})
}

// What there is room for is written, and all of that arrives. Who writes to nobody is
// told so, and lives on.
func TestWrite(t *testing.T) {
	near, far, with := pair(t)
	sent := 0
	with(func(fd uintptr) {
		for {
			n, err := socket.Write(fd, make([]byte, 1<<16))
			sent += n
			if err != nil {
				if n != 0 || err != syscall.EAGAIN {
					t.Error(n, err)
				}
				return
			}
		}
	})
	near.CloseWrite()
	got := 0
	for b := make([]byte, 1<<20); ; {
		n, err := far.Read(b)
		if got += n; err != nil {
			break
		}
	}
	if sent == 0 || got != sent {
		t.Errorf("%d bytes arrived, of %d", got, sent)
	}
	with(func(fd uintptr) {
		if n, err := socket.Write(fd, []byte("more")); n != 0 || err != syscall.EPIPE {
			t.Error("Write, after the end:", n, err)
		}
	})
}

// A connection that was reset says so.
func TestReset(t *testing.T) {
	near, far, _ := pair(t)
	far.SetLinger(0)
	far.Close()
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Read(func(fd uintptr) bool {
		n, err := socket.Read(fd, make([]byte, 1))
		if err == syscall.EAGAIN {
			return false
		}
		if n != 0 || err != syscall.ECONNRESET {
			t.Error(n, err)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
}
