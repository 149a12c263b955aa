package embedded

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// reserve takes the port of addr, for 0 a free one, until release is called: it is bound but not listened
// on, with SO_REUSEADDR, which on Linux lets a second socket that asks for just this port listen, and keeps
// it out of the ports given to those who ask for any.
func reserve(addr string) (reserved string, release func(), err error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", nil, err
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	fd, err := bound(tcp)
	if err != nil {
		return "", nil, err
	}
	release = func() { _ = unix.Close(fd) }
	sa, err := unix.Getsockname(fd)
	if err != nil {
		release()
		return "", nil, err
	}
	return net.JoinHostPort(host, strconv.Itoa(portOf(sa))), release, nil
}

// bound is a socket that holds a port and does not listen.
func bound(tcp *net.TCPAddr) (int, error) {
	family, sa := sockaddr(tcp)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(tcp *net.TCPAddr) (family int, sa unix.Sockaddr) {
	if ip := tcp.IP.To4(); ip != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(ip)}
	}
	six := &unix.SockaddrInet6{Port: tcp.Port}
	copy(six.Addr[:], tcp.IP)
	return unix.AF_INET6, six
}

func portOf(sa unix.Sockaddr) int {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return sa.Port
	case *unix.SockaddrInet6:
		return sa.Port
	}
	return 0
}
