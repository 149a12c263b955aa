package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// patience is for what must not take long. It is ample, because machines that run tests are busy.
const patience = 60 * time.Second

// process is one that a script follows.
type process struct {
	pidfd int
	err   error         // how it ended, if it is a child of ours
	done  chan struct{} // closed then; nil if it is none
	ready chan struct{} // closed when it has said how it is to be used

	mu       sync.Mutex   // guards following
	out, log bytes.Buffer // of a child of ours
}

// follow holds any process.
func follow(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("follow process %d: %w", pid, err)
	}
	return &process{pidfd: fd}, nil
}

// startProcess runs a command in the background.
func startProcess(cmd *exec.Cmd) (*process, error) {
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{done: make(chan struct{}), ready: make(chan struct{})}
	cmd.Stderr = &lockedWriter{p, &p.log}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if p.pidfd, err = unix.PidfdOpen(cmd.Process.Pid, 0); err != nil {
		return nil, err
	}
	go func() {
		p.read(stdout)
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// awaitReady returns when the process has said how it is to be used.
func (p *process) awaitReady() error {
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		_, log := p.output()
		return fmt.Errorf("it ended: %w: %s", p.err, log)
	case <-time.After(patience):
		return errors.New("it does not get ready")
	}
}

// read keeps what the process prints. The last line before it gets to work is a flag for another program.
func (p *process) read(stdout io.Reader) {
	out := &lockedWriter{p, &p.out}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fmt.Fprintln(out, lines.Text())
		if strings.HasPrefix(lines.Text(), "  --s3 ") || strings.HasPrefix(lines.Text(), "  --cache-from ") {
			close(p.ready)
		}
	}
}

// await returns when the process has ended.
func (p *process) await() error {
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds()))
		if n > 0 {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return errors.Join(fmt.Errorf("it still runs after %s", patience), err)
		}
	}
	if p.done != nil {
		<-p.done
	}
	return nil
}

type lockedWriter struct {
	p  *process
	to *bytes.Buffer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.to.Write(b)
}

// output is what a child of ours has printed so far.
func (p *process) output() (out, log string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String(), p.log.String()
}

// processesOf are the processes of a script, daemons included: they inherit its $WORK.
func processesOf(work string) ([]int, error) {
	pids, err := descendants(os.Getpid())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pids, func(pid int) bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		return err != nil || !bytes.Contains(append(b, 0), []byte("WORK="+work+"\x00"))
	}), nil
}

// descendants are the processes that a process started, and those that they did. Only they are looked at
// more closely: what a stranger's process is stuck in can catch who reads its environment.
func descendants(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var state string
		var child, parent int
		_, rest, _ := strings.Cut(string(b), ") ") // behind the name
		if _, err := fmt.Sscan(rest, &state, &parent); err != nil || state == "Z" {
			continue
		}
		if _, err := fmt.Sscan(string(b), &child); err != nil {
			return nil, err
		}
		children[parent] = append(children[parent], child)
	}
	all := children[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// mountsOf are the mounts of a script.
func mountsOf(work string) ([]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(work))
	var paths []string
	for _, m := range mounts {
		paths = append(paths, m.Mountpoint)
	}
	return paths, err
}

// cleanUp ends what a script left.
func cleanUp(work string) error {
	pids, err := processesOf(work)
	errs := []error{err}
	for _, pid := range pids {
		if p, err := follow(pid); err == nil {
			errs = append(errs, unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0), p.await(), unix.Close(p.pidfd))
		}
	}
	mounts, err := mountsOf(work)
	errs = append(errs, err)
	for _, path := range mounts {
		errs = append(errs, unix.Unmount(path, unix.MNT_DETACH))
	}
	return errors.Join(errs...)
}
