package daemon

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSecretsLeaveTheProcessList(t *testing.T) {
	const secret = "hunter2"
	for _, args := range [][]string{
		{"mount", "--secret-access-key", secret, "/mnt"},
		{"mount", "--secret-access-key=" + secret, "/mnt"},
		{"mount", "-session-token", secret, "/mnt"},
		{"mount", " --session-token ", secret, " --secret-access-key=" + secret, "/mnt"},
		{"mount", "--s3", "bucket=b,secret_access_key=" + secret + ",session_token=" + secret + ",region=r", "/mnt"},
		{"mount", "--s3=bucket=b,Secret_Access_Key = " + secret, "/mnt"},
		{"mount", "--s3=bucket=b,secret-access-key=" + secret + ",session-token=" + secret, "/mnt"},
		{"mount", "--s3", `"secret_access_key=a,` + secret + `",bucket=b`, "/mnt"},
		{"mount", "--s3", `bucket=b",secret_access_key=` + secret, "/mnt"}, // no valid CSV
		{"mount", "--endpoint-url", "https://user:" + secret + "@host:9000/x", "/mnt"},
		{"mount", "--s3", "endpoint_url=http://u:" + secret + "@h", "/mnt"},
		{"mount", "--endpoint-url", "https://user:an@" + secret + "@host", "/mnt"},
		{"mount", "--s3", `"endpoint_url=https://user:a,` + secret + `@host"`, "/mnt"},
		{"--secret-access-key", secret},
	} {
		shown := withoutSecrets(args)
		if text := strings.Join(shown, " "); strings.Contains(text, secret) || len(shown) != len(args) {
			t.Errorf("%q is shown as %q", args, text)
		}
		if again := withoutSecrets(shown); !slices.Equal(again, shown) {
			t.Errorf("%q becomes %q", shown, again)
		}
	}
}

func TestOtherArgumentsAreShownAsTheyAre(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"mount", "--s3", "bucket=b,access_key_id=id,endpoint_url=http://h:9000", "-d", "/mnt/cache"},
		{"mount", "--secret-access-key"},
		{"umount", "/mnt/secret_access_key"},
	} {
		if shown := withoutSecrets(args); !slices.Equal(shown, args) {
			t.Errorf("%q is shown as %q", args, shown)
		}
	}
	got := withoutSecrets([]string{"--s3", "bucket=b,secret_access_key=s,region=r"})
	if want := "bucket=b,secret_access_key=xxxxx,region=r"; got[1] != want {
		t.Errorf("got %q, want %q", got[1], want)
	}
}

func TestUserLeavesTheAddress(t *testing.T) {
	for address, want := range map[string]string{
		"":                          "",
		"http://host:9000/x":        "http://host:9000/x",
		"http://host/a@b":           "http://host/a@b",
		"http://user:secret@host/x": "http://host/x",
		"http://user@host":          "http://host",
		"http://user:se@cret@host":  "http://host",
	} {
		if got := withoutUser(address); got != want {
			t.Errorf("%s becomes %s, want %s", address, got, want)
		}
	}
}

// askHelper runs a copy of the test binary as the helper.
func askHelper(t *testing.T, program string, args ...string) told {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got told
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return got
}

func TestProgramRunsItselfWithoutSecretsInItsArguments(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"mount", "--secret-access-key", "hunter2", "a b", "", "ü\n"}
	got := askHelper(t, program, args...)
	if !slices.Equal(got.Args[1:], args) || got.Error != "" {
		t.Errorf("it gets %q, %s", got.Args, got.Error)
	}
	args[2] = struckOut
	if !slices.Equal(got.Shown[1:], args) || got.Shown[0] != program {
		t.Errorf("it shows %q", got.Shown)
	}
	for _, variable := range got.Environ {
		if strings.HasPrefix(variable, argsEnv) || strings.Contains(variable, "hunter2") {
			t.Errorf("it passes on %q", variable)
		}
	}
	if got := askHelper(t, program, "status", "/mnt"); !slices.Equal(got.Args, got.Shown) {
		t.Errorf("without secrets it gets %q, and shows %q", got.Args, got.Shown)
	}
}

func TestVariableOfTheArgumentsIsNotForOthers(t *testing.T) {
	t.Setenv(argsEnv, "0")
	got := askHelper(t, "/proc/self/exe", "status")
	if !strings.Contains(got.Error, "unset $"+argsEnv) {
		t.Errorf("got %+v", got)
	}
	t.Setenv(argsEnv, "x")
	if got := askHelper(t, "/proc/self/exe", "status"); !strings.Contains(got.Error, "unset it") {
		t.Errorf("got %+v", got)
	}
}

// An upgrade replaces the file of a program that runs.
func TestProgramThatIsReplacedRunsItselfAgain(t *testing.T) {
	running, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(running)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, b, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv(replaceEnv, "1")
	if got := askHelper(t, program, "--secret-access-key=hunter2"); got.Error != "" || got.Args[1] != "--secret-access-key=hunter2" {
		t.Errorf("it gets %q, %s", got.Args, got.Error)
	}
	if b, err := os.ReadFile(program); err != nil || string(b) != "another version" {
		t.Errorf("it was not replaced: %.20q, %v", b, err)
	}
}

func TestArgumentsHandedOver(t *testing.T) {
	if _, err := readArgs("x"); err == nil {
		t.Error("no number is taken for a descriptor")
	}
	if _, err := readArgs("987654"); err == nil {
		t.Error("a descriptor that is not open is read")
	}
	want := []string{"layoutfs", "mount", "--s3", "secret_access_key=a\nb"}
	f, err := inMemory("test", want)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := decodeArgs(f); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}
