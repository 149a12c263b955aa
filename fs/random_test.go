package fs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
)

// operations is how many each client does.
const operations = 300

// seedEnv repeats a run of TestRandomOperations.
const seedEnv = "LAYOUTFS_TEST_SEED"

// TestRandomOperations does on a mount what it does on a model, and wants the same of both. Several clients work
// at once, in a layout each, on blobs of their own.
func TestRandomOperations(t *testing.T) { byBoth(t, randomOperations) }

func randomOperations(t *testing.T, kernel bool, r *rig) {
	seed := rand.Uint64()
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	t.Logf("repeat this with %s=%d", seedEnv, seed)
	var group sync.WaitGroup
	var clients []*client
	for i := range 3 {
		dir := r.path(fmt.Sprint("layout-", i))
		beginLayout(t, dir)
		c := newClient(t, dir, rand.New(rand.NewPCG(seed, uint64(i))))
		c.kernel = kernel
		clients = append(clients, c)
		group.Go(func() { c.run(operations) })
	}
	group.Wait()
	r.remount(t)
	for _, c := range clients {
		c.model.sweep()
		c.compare()
	}
}
