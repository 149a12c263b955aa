package embedded

import (
	"net"
	"testing"
)

func TestReservedPortIsKeptFromOthers(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		reserved, release, err := reserve(addr)
		if err != nil {
			t.Fatalf("reserve %s: %v", addr, err)
		}
		l, err := net.Listen("tcp", reserved) // who asks for just this port gets it
		if err != nil {
			t.Fatalf("listen on %s: %v", reserved, err)
		}
		if _, _, err := reserve(reserved); err == nil {
			t.Errorf("%s, which is taken, is reserved", reserved)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		release()
	}
}

func TestAddressForClients(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:9000": "127.0.0.1:9000",
		"0.0.0.0:9000":   "127.0.0.1:9000",
		":9000":          "127.0.0.1:9000",
		"[::]:9000":      "127.0.0.1:9000",
		"[::1]:9000":     "[::1]:9000",
		"host:9000":      "host:9000",
	} {
		if got := dialable(addr); got != want {
			t.Errorf("%s is reached at %s, want %s", addr, got, want)
		}
	}
}
