package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is a program in the background.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs a program; what it prints goes to a file log in dir.
func start(dir string, env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), log: filepath.Join(dir, "log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

// await returns when up says so. There is no event to wait for: a server listens when it listens.
func (p *process) await(up func() bool) error {
	deadline := time.After(time.Minute)
	for !up() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once: %s", p.cmd.Path, p.output())
		case <-deadline:
			return fmt.Errorf("%s does not answer: %s", p.cmd.Path, p.output())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func (p *process) output() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// stop ends the program gently, and after a while not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// run runs a program that must succeed, and returns what it prints.
func run(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, tail(out))
	}
	return string(out), nil
}

// tail is the end of an output, where programs say why they failed.
func tail(out []byte) []byte { return out[max(0, len(out)-4<<10):] }

// folder makes a folder under the one that the run works in.
func (b *bench) folder(name string) (string, error) { return os.MkdirTemp(b.dir, name+"-") }

// tool is the path of a program that the Makefile built, or that Debian has.
func (b *bench) tool(name string) string {
	path := filepath.Join(b.tools, name)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return name
	}
	return path
}
