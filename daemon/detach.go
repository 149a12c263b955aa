package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DetachedCommand is the command of this program that calls RunDetached.
const DetachedCommand = "daemon"

// The descriptors that a detached process gets besides the standard ones.
const (
	configFD = 3 // its Config as JSON
	reportFD = 4 // to be written: one report

	configName = "layoutfs-config"
)

const (
	detachWithin = 5 * time.Minute  // for the start: a large upload queue is read
	answersIn    = 30 * time.Second // for the first stat of the mount
	endsIn       = 30 * time.Second // for its end, when it is not wanted any more
)

// report is what a detached process says when it is ready, or why it is not.
type report struct {
	Ready *Ready `json:",omitempty"`
	Error string `json:",omitempty"`
}

// Detach has a process of its own serve the mount, in a session of its own and with its log in a file,
// and returns when the mount answers. The process gets c, which holds secrets, in memory. A signal ends the
// attempt, as it does in Run.
func Detach(ctx context.Context, c Config) (Ready, error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := c.Validate(); err != nil {
		return Ready{}, err
	}
	if err := c.checkMountpoint(); err != nil { // ahead of the log file, which is in the cache directory
		return Ready{}, err
	}
	if c.Log.File == "" {
		c.Log.File = filepath.Join(c.CacheDir, "log")
	}
	from, cmd, err := spawn(c)
	if err != nil {
		return Ready{}, err
	}
	defer from.Close()
	ready, err := awaitReport(ctx, from, cmd, c.Log.File)
	if err != nil {
		return Ready{}, err
	}
	if err := awaitAnswer(ctx, c.Mountpoint); err != nil {
		return Ready{}, errors.Join(err, end(cmd))
	}
	return ready, cmd.Process.Release()
}

// spawn starts the process; its report is read from the file.
func spawn(c Config) (*os.File, *exec.Cmd, error) {
	path, err := self()
	if err != nil {
		return nil, nil, err
	}
	log, err := c.Log.open()
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	config, err := inMemory(configName, c)
	if err != nil {
		return nil, nil, err
	}
	defer config.Close()
	from, to, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start the daemon: %w", err)
	}
	defer to.Close()
	cmd := exec.Command(path, DetachedCommand, c.Mountpoint)
	cmd.Args[0] = "layoutfs"
	cmd.Dir = "/" // not to keep a file system busy
	cmd.Env = fromAnywhere(withoutFlags(os.Environ()))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{config, to}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start the daemon: %w", err), from.Close())
	}
	return from, cmd, nil
}

// withoutFlags is an environment without the variables that stand for flags: the process gets what they
// said, and there are secrets among them.
func withoutFlags(environ []string) []string {
	return slices.DeleteFunc(environ, func(variable string) bool {
		return strings.HasPrefix(variable, "LAYOUTFS_") && !strings.HasPrefix(variable, runtimeDirEnv+"=")
	})
}

// fromAnywhere makes the files absolute that an environment names for the AWS SDK: the process works in "/".
func fromAnywhere(environ []string) []string {
	for i, variable := range environ {
		name, path, _ := strings.Cut(variable, "=")
		switch name {
		case "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "SSL_CERT_FILE":
			if abs, err := filepath.Abs(path); err == nil && path != "" {
				environ[i] = name + "=" + abs
			}
		}
	}
	return environ
}

// awaitReport reads the process's report. Without one, by its death or in time, it is ended.
func awaitReport(ctx context.Context, from *os.File, cmd *exec.Cmd, logFile string) (Ready, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, detachWithin, fmt.Errorf("the daemon is not ready after %s; its log is %s", detachWithin, logFile))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = from.SetReadDeadline(time.Now()) })
	defer stop()
	var r report
	err := json.NewDecoder(from).Decode(&r)
	switch {
	case err == nil && r.Ready != nil:
		return *r.Ready, nil
	case err == nil:
		_ = cmd.Wait() // it has said why
		return Ready{}, errors.New(r.Error)
	case ctx.Err() != nil:
		return Ready{}, errors.Join(fmt.Errorf("not mounted: %w", context.Cause(ctx)), end(cmd))
	}
	return Ready{}, fmt.Errorf("the daemon ended before the mount answered (%w); its log is %s", errors.Join(err, cmd.Wait()), logFile)
}

// end ends a process that is about to serve a mount, and waits for it.
func end(cmd *exec.Cmd) error {
	err := cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(endsIn, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // its status is that of one that was told to end
	return err
}

// awaitAnswer makes sure that the mount answers to others than its own process.
func awaitAnswer(ctx context.Context, mountpoint string) error {
	answer := make(chan error, 1)
	go func() {
		_, err := os.Stat(filepath.Join(mountpoint, "oci-layout"))
		answer <- err
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, answersIn, fmt.Errorf("no answer within %s", answersIn))
	defer cancel()
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s is mounted, but does not answer: %w", mountpoint, err)
	}
	return nil
}

// RunDetached is the other side of Detach: it serves the mount that is handed over until it ends. An
// error has been logged, and if it came before the mount answers the parent was told; but if there is no
// parent it is ErrNotDetached.
func RunDetached(ctx context.Context) error {
	c, to, err := handedOver()
	if err != nil {
		return err
	}
	log := c.Log.logger(os.Stderr) // the log file
	d, signals, err := start(ctx, c, log)
	if err != nil {
		log.Error("not mounted", "err", err)
		return errors.Join(err, tell(to, report{Error: err.Error()}))
	}
	ready := d.Ready()
	if err := tell(to, report{Ready: &ready}); err != nil {
		log.Warn("nobody waits for the mount", "err", err)
	}
	return logged(log, d.Serve(signals))
}

func handedOver() (Config, io.WriteCloser, error) {
	if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", configFD)); err != nil || !strings.Contains(name, configName) {
		return Config{}, nil, ErrNotDetached
	}
	// The embedded server and fusermount must not inherit them.
	unix.CloseOnExec(configFD)
	unix.CloseOnExec(reportFD)
	from, to := os.NewFile(configFD, configName), os.NewFile(reportFD, "report")
	defer from.Close()
	var c Config
	if err := json.NewDecoder(from).Decode(&c); err != nil {
		return Config{}, nil, fmt.Errorf("%w: %w", ErrNotDetached, err)
	}
	return c, to, nil
}

// ErrNotDetached says that RunDetached was called otherwise than by Detach.
var ErrNotDetached = errors.New("this command is run by `layoutfs mount -d` alone")

func tell(to io.WriteCloser, r report) error {
	return errors.Join(json.NewEncoder(to).Encode(r), to.Close())
}

func logged(log *slog.Logger, err error) error {
	if err != nil {
		log.Error("ended with something undone", "err", err)
	}
	return err
}
