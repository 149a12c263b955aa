package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// state is what a script has going.
type state struct {
	work      string
	env       []string
	processes map[string]*process
	silent    *net.TCPListener
}

type stateKey struct{}

func stateOf(ts *testscript.TestScript) *state { return ts.Value(stateKey{}).(*state) }

// setUp gives each script a runtime directory of its own, and no AWS account.
func setUp(e *testscript.Env) error {
	// Daemons that their parents have left come to us: so we find them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Dir(e.WorkDir), 0o711); err != nil { // one script is another user's
		return err
	}
	races := filepath.Join(e.WorkDir, ".race")
	e.Setenv("LAYOUTFS_RUNTIME_DIR", filepath.Join(e.WorkDir, "run"))
	e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
	e.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	e.Setenv("GORACE", "atexit_sleep_ms=0 log_path="+races)
	s := &state{work: e.WorkDir, env: e.Vars, processes: map[string]*process{}}
	e.Values[stateKey{}] = s
	t := e.T().(testing.TB)
	e.Defer(func() {
		if err := cleanUp(s.work); err != nil {
			t.Errorf("clean up: %v", err)
		}
		found, _ := filepath.Glob(races + ".*")
		for _, path := range found {
			report, err := os.ReadFile(path)
			t.Errorf("data race: %s%v", report, err)
		}
	})
	return nil
}

// fails runs layoutfs and wants it to fail: status 1, a message, nothing done.
func fails(ts *testscript.TestScript, neg bool, args []string) { wantStatus(ts, exitFailed, args) }

// misuse runs layoutfs and wants it to find its command line wrong: status 2, a message, nothing done.
func misuse(ts *testscript.TestScript, neg bool, args []string) { wantStatus(ts, exitUsage, args) }

// wantStatus runs layoutfs, which must end with a status that is not 0. Then it has a message on standard
// error, with its name before each line, and nothing on standard output.
func wantStatus(ts *testscript.TestScript, status int, args []string) {
	err := ts.Exec("timeout", append([]string{strconv.Itoa(int(patience.Seconds())), "layoutfs"}, args...)...)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != status {
		ts.Fatalf("the exit status is to be %d: %v", status, err)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("on standard output: %s", out)
	}
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		if !strings.HasPrefix(line, "layoutfs: ") {
			ts.Fatalf("an error without our name: %s", line)
		}
	}
}

// launch NAME ARGS runs layoutfs in the background.
func launch(ts *testscript.TestScript, neg bool, args []string) {
	s := stateOf(ts)
	cmd := exec.Command("layoutfs", args[1:]...)
	cmd.Env, cmd.Dir = s.env, ts.MkAbs(".")
	p, err := startProcess(cmd)
	ts.Check(err)
	s.processes[args[0]] = p
}

// start is launch, and returns when layoutfs is ready: what it has printed is standard output. Of a server
// it sets $S3 (for --s3), $ADDR, $KEY and $SECRET.
func start(ts *testscript.TestScript, neg bool, args []string) {
	launch(ts, neg, args)
	p := stateOf(ts).processes[args[0]]
	ts.Check(p.awaitReady())
	out, _ := p.output()
	fmt.Fprint(ts.Stdout(), out)
	_, csv, _ := strings.Cut(strings.TrimSpace(out), "  --s3 ")
	for field := range strings.SplitSeq(csv, ",") {
		switch key, value, _ := strings.Cut(field, "="); key {
		case "endpoint_url":
			ts.Setenv("S3", csv)
			ts.Setenv("ADDR", strings.TrimPrefix(value, "http://"))
		case "access_key_id":
			ts.Setenv("KEY", value)
		case "secret_access_key":
			ts.Setenv("SECRET", value)
		}
	}
}

// printed NAME TEXT waits until a process that was launched has printed a text on standard error.
func printed(ts *testscript.TestScript, neg bool, args []string) {
	p := stateOf(ts).processes[args[0]]
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, log := p.output()
		if strings.Contains(log, args[1]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("it has printed %s", log)
		}
	}
}

// followed is the process that was started as NAME, or the daemon of the mountpoint NAME.
func followed(ts *testscript.TestScript, name string) *process {
	s := stateOf(ts)
	if p, ok := s.processes[name]; ok {
		return p
	}
	ts.Check(ts.Exec("layoutfs", "status", "--format", "{{.PID}}", name))
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile("stdout")))
	ts.Check(err)
	p, err := follow(pid)
	ts.Check(err)
	s.processes[name] = p
	return p
}

// signal SIGNAL NAME sends a signal. With 0 it only takes note of the process, for await.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	number := unix.SignalNum("SIG" + args[0])
	if number == 0 && args[0] != "0" {
		ts.Fatalf("what is signal %s?", args[0])
	}
	ts.Check(unix.PidfdSendSignal(followed(ts, args[1]).pidfd, number, nil, 0))
}

// await NAME waits for the end of a process. If it was started here, its output is then standard output
// and standard error, and its status must be 0, or 1 if it is to fail.
func await(ts *testscript.TestScript, neg bool, args []string) {
	p := followed(ts, args[0])
	ts.Check(p.await())
	delete(stateOf(ts).processes, args[0])
	if p.done == nil {
		return
	}
	out, log := p.output()
	fmt.Fprint(ts.Stdout(), out)
	fmt.Fprint(ts.Stderr(), log)
	exit, failed := errors.AsType[*exec.ExitError](p.err)
	if failed != neg || failed && exit.ExitCode() != exitFailed {
		ts.Fatalf("it ended with %v\n%s", p.err, log)
	}
}

// nobody PROGRAM ARGS runs a program as a plain user.
func nobody(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "--"}, args...)...)
	if (err != nil) != neg {
		ts.Fatalf("it ended with %v", err)
	}
}

// retry PROGRAM ARGS runs a program until it succeeds.
func retry(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("it still fails: %v", err)
		}
	}
}

// silent [ADDR] listens, accepts, and never says a word; its address is $SILENT. With ! it ends.
func silent(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Check(stateOf(ts).silent.Close())
		return
	}
	addr := "127.0.0.1:0"
	if len(args) > 0 {
		addr = args[0]
	}
	l, err := net.Listen("tcp", addr)
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	stateOf(ts).silent = l.(*net.TCPListener)
	ts.Setenv("SILENT", l.Addr().String())
}

// get URL [HEADER:VALUE...] asks a web server: status, headers and body are standard output. With ! nobody answers.
func get(ts *testscript.TestScript, neg bool, args []string) {
	r, err := http.NewRequest(http.MethodGet, args[0], nil)
	ts.Check(err)
	for _, header := range args[1:] {
		name, value, _ := strings.Cut(header, ":")
		r.Header.Set(name, value)
	}
	r.Host = r.Header.Get("Host")
	res, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if neg && err != nil {
		return
	}
	ts.Check(err)
	defer res.Body.Close()
	ts.Check(res.Write(ts.Stdout()))
	if neg {
		ts.Fatalf("somebody answers")
	}
}

// asked waits until somebody connects to the silent listener; with ! nobody has.
func asked(ts *testscript.TestScript, neg bool, args []string) {
	wait := patience
	if neg {
		wait = 0
	}
	raw, err := stateOf(ts).silent.SyscallConn()
	ts.Check(err)
	n := 0
	ts.Check(raw.Control(func(fd uintptr) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait.Milliseconds()))
		for errors.Is(err, unix.EINTR) { // the Go runtime preempts by signals
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(wait.Milliseconds()))
		}
	}))
	ts.Check(err)
	if (n > 0) == neg {
		ts.Fatalf("%d connections", n)
	}
}

// setenv NAME FILE sets a variable to the content of a file, or of standard output.
func setenv(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// nothing left: no mount, no process and no socket of the script.
func nothing(ts *testscript.TestScript, neg bool, args []string) {
	work := stateOf(ts).work
	mounts, err := mountsOf(work)
	ts.Check(err)
	pids, err := processesOf(work)
	ts.Check(err)
	sockets, err := filepath.Glob(filepath.Join(work, "run", "*"))
	ts.Check(err)
	if len(mounts)+len(pids)+len(sockets) > 0 {
		ts.Fatalf("left are the mounts %q, the processes %d, the files %q", mounts, pids, sockets)
	}
}

// confidential PATHS: no process of the script shows $SECRET in its arguments or its environment, and no file
// in the folders holds it.
func confidential(ts *testscript.TestScript, neg bool, args []string) {
	secret := ts.Getenv("SECRET")
	if len(secret) < 8 {
		ts.Fatalf("%q is no secret", secret)
	}
	pids, err := processesOf(stateOf(ts).work)
	ts.Check(err)
	if len(pids) == 0 {
		ts.Fatalf("no process runs")
	}
	for _, pid := range pids {
		for _, of := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, of))
			ts.Check(err)
			// What the script hands to every command is not of our doing.
			b = bytes.ReplaceAll(b, []byte("\x00SECRET="+secret), nil)
			b = bytes.ReplaceAll(b, []byte("\x00S3="+ts.Getenv("S3")), nil)
			if bytes.Contains(b, []byte(secret)) {
				ts.Fatalf("the secret is in %s of process %d: %q", of, pid, b)
			}
		}
	}
	for _, path := range args {
		// grep passes over the holes in the files of the index, which are large.
		err := ts.Exec("grep", "-r", "-l", "-a", "-F", "-e", secret, path)
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
			ts.Fatalf("grep %s: %v", path, err)
		}
		// It does look into the files.
		if files := ts.Exec("grep", "-r", "-q", "", path); files != nil {
			ts.Fatalf("there is nothing in %s: %v", path, files)
		}
	}
}
