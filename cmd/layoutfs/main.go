// Command layoutfs mounts an OCI image layout whose blobs live in S3. This package is flags and printing:
// one file per command, and no logic; that is in package daemon.
package main

import (
	"os"

	"github.com/layoutfs/layoutfs/embedded"
	"github.com/layoutfs/layoutfs/index/store"
)

func main() {
	embedded.RunIfChild()
	store.RunIfChild()
	os.Exit(run(os.Args))
}
