// Package child has this program start itself once more, as another process of ours: what must not harm a daemon, nor
// share its state, is in one of its own.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// Kind is what a process is for. There is one for each name.
type Kind struct {
	name string
	runs atomic.Bool // this program called RunIfChild: started again, it would be such a process
}

// New returns the kind of that name, which ps and top show.
func New(name string) *Kind { return &Kind{name: name} }

// env tells a process what it is for.
const env = "LAYOUTFS_CHILD"

// RunIfChild turns this process into what it was started for, if that is this, and does not return then. Call it before
// anything else in main.
func (k *Kind) RunIfChild(run func() error) {
	k.runs.Store(true)
	if os.Getenv(env) != k.name {
		return
	}
	_ = os.WriteFile("/proc/self/comm", []byte(k.name), 0) // for top, where it would be "exe"
	// The parent says when to stop: a ^C at its terminal, or a service manager's signal to all its
	// processes, must not take away what it still needs.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Command is such a process, to be started: in a session of its own, which keeps the terminal's signals away, and with
// nothing in its environment but environ. Those of layoutfs and of the AWS SDK hold secrets.
func (k *Kind) Command(environ ...string) (*exec.Cmd, error) {
	if !k.runs.Load() {
		return nil, errors.New("this program does not call RunIfChild for " + k.name)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{k.name}
	cmd.Env = append(environ, env+"="+k.name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, nil
}
