package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// argsEnv names the descriptor from which the real arguments are read.
const argsEnv = "_LAYOUTFS_ARGS_FD"

// HideSecrets returns the arguments of this process. If secrets stand in them, every user of the machine
// can read them in the process list: then the process runs itself again with the arguments in memory and
// the secrets struck out of the list. Call it before anything is started.
func HideSecrets(args []string) ([]string, error) {
	if fd, ok := os.LookupEnv(argsEnv); ok {
		return readArgs(fd)
	}
	shown := withoutSecrets(args)
	if slices.Equal(shown, args) {
		return args, nil
	}
	if err := execHidden(args, shown); err != nil {
		return nil, fmt.Errorf("hide the secrets of the command line: %w", err)
	}
	return nil, nil // not reached
}

func readArgs(fd string) ([]string, error) {
	n, err := strconv.Atoi(fd)
	if err != nil {
		return nil, fmt.Errorf("$%s=%q is set by layoutfs alone: unset it", argsEnv, fd)
	}
	if err := os.Unsetenv(argsEnv); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(n), "arguments")
	if f == nil {
		return nil, fmt.Errorf("$%s=%q is set by layoutfs alone: unset it", argsEnv, fd)
	}
	defer f.Close()
	return decodeArgs(f)
}

func decodeArgs(r io.Reader) ([]string, error) {
	var args []string
	if err := json.NewDecoder(r).Decode(&args); err != nil {
		return nil, fmt.Errorf("read the arguments handed over: %w (unset $%s if you set it)", err, argsEnv)
	}
	return args, nil
}

func execHidden(args, shown []string) error {
	f, err := inMemory("layoutfs-args", args)
	if err != nil {
		return err
	}
	fd := int(f.Fd())
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil { // survive exec
		return err
	}
	path, err := self()
	if err != nil {
		return err
	}
	return syscall.Exec(path, shown, append(os.Environ(), argsEnv+"="+strconv.Itoa(fd)))
}

// inMemory is a file without a name that holds v as JSON, to be read from its beginning.
func inMemory(name string, v any) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	err = json.NewEncoder(f).Encode(v)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// self is this program. Its path keeps the name in the process list, which /proc/self/exe would not, but
// another version may stand there by now.
func self() (string, error) {
	const exe = "/proc/self/exe"
	running, err := os.Stat(exe)
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	path, err := os.Executable()
	if err != nil {
		return exe, nil
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(running, there) {
		return exe, nil
	}
	return path, nil
}

const struckOut = "xxxxx"

var (
	secretKeys = regexp.MustCompile(`(?i)(secret[_-]access[_-]key|session[_-]token)\s*=`)
	// Up to the last "@" before the path, for a password may hold one.
	urlPassword = regexp.MustCompile(`(://[^/@:\s]*:)[^/\s]+@`)
	urlUser     = regexp.MustCompile(`://[^/\s]*@`)
)

// withoutSecrets strikes secrets out of a command line, for display: the values of the flags for them and
// of the keys for them in a CSV, and passwords in addresses.
func withoutSecrets(args []string) []string {
	shown := slices.Clone(args)
	for i, arg := range args {
		flag := strings.TrimSpace(arg) // as the command line is read
		name, _, joined := strings.Cut(strings.TrimLeft(flag, "-"), "=")
		isSecret := strings.HasPrefix(flag, "-") && (name == "secret-access-key" || name == "session-token")
		switch {
		case isSecret && joined:
			shown[i] = arg[:strings.Index(arg, "=")+1] + struckOut
		case isSecret && i+1 < len(args):
			shown[i+1] = struckOut
		case shown[i] == arg: // and not the value of the flag before
			shown[i] = urlPassword.ReplaceAllString(withoutSecretKeys(arg), "${1}"+struckOut+"@")
		}
	}
	return shown
}

// withoutSecretKeys strikes secrets out of a CSV of KEY=VALUE, which need not be a valid one. A value in
// quotes may hold commas; where that cannot be told, too much is struck out.
func withoutSecretKeys(csv string) string {
	at := secretKeys.FindStringIndex(csv)
	if at == nil {
		return csv
	}
	head, tail := csv[:at[1]], csv[at[1]:]
	end := strings.IndexByte(tail, ',')
	if strings.Contains(csv, `"`) || end < 0 {
		return head + struckOut
	}
	return head + struckOut + withoutSecretKeys(tail[end:])
}

// withoutUser is an address without user and password.
func withoutUser(address string) string {
	return urlUser.ReplaceAllString(address, "://")
}
