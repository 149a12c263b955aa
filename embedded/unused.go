package embedded

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// established is the state of a connection in TCP_INFO, TCP_ESTABLISHED of <netinet/tcp.h>.
const established = 1

// dropUnused ends the connections on which no byte has come yet, again and again until the process ends.
// Clients keep such in reserve; versitygw's server takes them for requests, and would wait 10 s for them.
func dropUnused() {
	for ; ; time.Sleep(50 * time.Millisecond) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return // they are waited for
		}
		for _, entry := range fds {
			fd, err := strconv.Atoi(entry.Name())
			if err != nil {
				continue
			}
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err == nil && info.State == established && info.Bytes_received == 0 {
				_ = unix.Shutdown(fd, unix.SHUT_RDWR) // one that ended meanwhile is no matter
			}
		}
	}
}
