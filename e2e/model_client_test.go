package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"

	containerdlog "github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/layoutfs/layoutfs/index/cacheconfig"
)

// modelClientEnv has this program serve as a client of the model test, in place of testing.
const modelClientEnv = "LAYOUTFS_TEST_MODEL_CLIENT"

// request is what a client process is to do, where, and of which seed the layers are.
type request struct {
	Op   op
	Mnt  string
	Seed uint64
}

// modelPool are the layers of a seed. Of some of them several chunks are fetched.
func modelPool(seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 7))
	var pool [][]byte
	for i := range modelLayers {
		pool = append(pool, randomBytes(r, 1+r.IntN(1000)<<(2*i)))
	}
	return pool
}

// modelCache is the cache of a set of them.
func modelCache(pool [][]byte, set int) (synthetic, error) {
	var layers [][]byte
	for i, b := range pool {
		if has(set, i) {
			layers = append(layers, b)
		}
	}
	return makeSynthetic(layers...)
}

// serveModelClient does what is asked for on standard input, until its end.
func serveModelClient() {
	containerdlog.L.Logger.SetOutput(io.Discard)
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r request
		if err := in.Decode(&r); err != nil {
			return // the test has ended
		}
		end := r.do()
		runtime.GC() // see exportTo
		if err := out.Encode(end); err != nil {
			return
		}
	}
}

// modelClient is such a process.
type modelClient struct {
	in  *json.Encoder
	out *json.Decoder
}

func newModelClient(t testing.TB) *modelClient {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), modelClientEnv+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		must(t, in.Close())
		must(t, cmd.Wait())
	})
	return &modelClient{json.NewEncoder(in), json.NewDecoder(out)}
}

func (c *modelClient) do(r request) (end outcome, err error) {
	if err = c.in.Encode(r); err == nil {
		err = c.out.Decode(&end)
	}
	return end, err
}

// ended is how an operation ended.
func ended(err error) outcome {
	switch {
	case err == nil:
		return outcome{How: fine}
	case errors.Is(err, errWrongBytes):
		return outcome{How: wrong, Why: err.Error()}
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, errNoTag):
		return outcome{How: absent, Why: err.Error()}
	}
	return outcome{How: failed, Why: err.Error()}
}

func (r request) do() outcome {
	dir := filepath.Join(r.Mnt, modelNames[r.Op.A%len(modelNames)])
	pool := modelPool(r.Seed)
	layer := pool[r.Op.A]
	d := digest.FromBytes(layer)
	blob := filepath.Join(r.Mnt, "blobs", "sha256", d.Encoded())
	switch r.Op.What {
	case "export":
		return r.export(dir, pool)
	case "import":
		return importCache(dir)
	case "put":
		return ended(r.put(layer, blob))
	case "put wrong":
		if end := ended(r.put(append([]byte("wrong"), layer...), blob)); end.How != absent {
			return end
		}
		return outcome{How: wrong, Why: "a rename says that there is no such file"}
	case "read":
		_, err := readBlob(r.Mnt, d)
		return ended(err)
	case "unlink":
		return ended(os.Remove(blob))
	case "drop":
		return ended(dropTag(dir))
	}
	return r.scratch()
}

// export tries three times: that a blob is gone may be found by it, and the next one writes it again.
func (r request) export(dir string, pool [][]byte) outcome {
	cache, err := modelCache(pool, r.Op.B)
	if err != nil {
		return ended(err)
	}
	for range 3 {
		if err = cache.exportTo(context.Background(), dir, "latest"); err == nil {
			break
		}
	}
	end := ended(err)
	if end.How == absent {
		end.How = failed
	}
	return end
}

// put writes what should be a blob beside it, and renames it.
func (r request) put(b []byte, blob string) error {
	tmp := filepath.Join(filepath.Dir(blob), fmt.Sprint("tmp-", r.Op.Who))
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	err := os.Rename(tmp, blob)
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// dropTag takes the tag "latest" out of an index.json, with BuildKit's lock.
func dropTag(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		return err
	}
	return changeIndex(dir, func(b []byte) ([]byte, error) {
		var idx ocispec.Index
		if err := json.Unmarshal(b, &idx); len(b) > 0 && err != nil {
			return nil, err
		}
		n := len(idx.Manifests)
		idx.Manifests = slices.DeleteFunc(idx.Manifests, func(d ocispec.Descriptor) bool {
			return d.Annotations[ocispec.AnnotationRefName] == "latest"
		})
		if len(idx.Manifests) == n {
			return nil, errNoTag
		}
		return json.Marshal(idx)
	})
}

// importCache reads a cache as a builder does, and says what of it there is. A manifest that is not there is passed
// over; what is not there of what a manifest names fails a build.
func importCache(dir string) outcome {
	d, err := importFrom(dir, "latest")
	end := ended(err)
	if end.Manifest = d; d == "" {
		return end
	}
	b, err := readBlob(dir, d)
	if err != nil {
		return ended(err)
	}
	if end.How == absent {
		end.How = failed
	}
	m, err := cacheconfig.ParseManifest(b)
	if err != nil {
		return ended(err)
	}
	for _, l := range m.Layers {
		end.Layers = append(end.Layers, l.Digest)
	}
	return end
}

// scratch does what is to be done with a scratch file, so that others see all of it or nothing.
func (r request) scratch() outcome {
	path := func(i int) string { return filepath.Join(r.Mnt, fmt.Sprint(".scratch-", i)) }
	own := filepath.Join(r.Mnt, fmt.Sprint(".new-", r.Op.Who))
	switch r.Op.What {
	case "write scratch":
		if err := os.WriteFile(own, []byte(strconv.Itoa(r.Op.B)), 0o644); err != nil {
			return ended(err)
		}
		return ended(os.Rename(own, path(r.Op.A)))
	case "read scratch":
		b, err := os.ReadFile(path(r.Op.A))
		end := ended(err)
		end.Content, _ = strconv.Atoi(string(b)) // what is none is other than was written
		return end
	case "move scratch":
		return ended(os.Rename(path(r.Op.A), path(r.Op.B)))
	case "remove scratch":
		return ended(os.Remove(path(r.Op.A)))
	}
	return outcome{How: failed, Why: "no such operation: " + r.Op.What}
}
