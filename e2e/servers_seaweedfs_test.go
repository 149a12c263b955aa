package e2e

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// startSeaweedFS serves with all of SeaweedFS in one process.
func startSeaweedFS(t testing.TB, dir string) (*server, *process, error) {
	ports, err := freePorts(8)
	if err != nil {
		return nil, nil, err
	}
	s := &server{endpoint: "http://127.0.0.1:" + ports[0], key: "e2e-" + rand.Text()[:8], secret: rand.Text()}
	users := filepath.Join(dir, "users.json")
	if err := writeSeaweedUsers(users, s); err != nil {
		return nil, nil, err
	}
	args := []string{
		"-logtostderr", "server", "-dir", dir, "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1",
		"-master.port", ports[1], "-master.port.grpc", ports[2], "-master.telemetry=false",
		"-volume.port", ports[3], "-volume.port.grpc", ports[4],
		"-filer", "-filer.port", ports[5], "-filer.port.grpc", ports[6], "-filer.localSocket", filepath.Join(dir, "filer"),
		"-s3", "-s3.port", ports[0], "-s3.port.grpc", ports[7], "-s3.localSocket", filepath.Join(dir, "s3"), "-s3.config", users,
		"-s3.port.iceberg=0", "-s3.port.lance=0",
		// Each bucket has volumes of its own. They are files that grow.
		"-master.volumeSizeLimitMB=64", "-volume.max=10000",
		// Else a backslash in a name is a slash, and an upload makes the bucket that is not there.
		"-s3.allowBackslashInKey", "-s3.autoCreateBucket=false",
	}
	p, err := startProcess(dir, nil, tool(t, "weed"), args...)
	if err != nil {
		return nil, nil, err
	}
	p.ending = syscall.SIGKILL // gently it takes 15 s, for data that nobody needs
	return s, p, p.awaitUp(func() bool { return answers(s.endpoint + "/healthz") })
}

// writeSeaweedUsers makes s's key that of somebody who may do everything.
func writeSeaweedUsers(path string, s *server) error {
	type key struct {
		AccessKey string `json:"accessKey"`
		SecretKey string `json:"secretKey"`
	}
	type identity struct {
		Name        string   `json:"name"`
		Credentials []key    `json:"credentials"`
		Actions     []string `json:"actions"`
	}
	b, err := json.Marshal(map[string][]identity{"identities": {{"e2e", []key{{s.key, s.secret}}, []string{"Admin"}}}})
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}
