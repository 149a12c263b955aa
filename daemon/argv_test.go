package daemon

import (
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
		{"mount", "--s3", "bucket=b,secret_access_key=" + secret + ",session_token=" + secret + ",region=r", "/mnt"},
		{"mount", "--s3=bucket=b,Secret_Access_Key = " + secret, "/mnt"},
		{"mount", "--s3=bucket=b,secret-access-key=" + secret + ",session-token=" + secret, "/mnt"},
		{"mount", "--s3", `"secret_access_key=a,` + secret + `",bucket=b`, "/mnt"},
		{"mount", "--s3", `bucket=b",secret_access_key=` + secret, "/mnt"}, // no valid CSV
		{"mount", "--endpoint-url", "https://user:" + secret + "@host:9000/x", "/mnt"},
		{"mount", "--s3", "endpoint_url=http://u:" + secret + "@h", "/mnt"},
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
