// Command rclone is rclone with no more than what `make bench` measures: the backends s3 and local, and the
// commands mount and sync.
package main

import (
	_ "github.com/rclone/rclone/backend/local"
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/mount"
	_ "github.com/rclone/rclone/cmd/sync"
)

func main() { cmd.Main() }
