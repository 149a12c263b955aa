package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
)

// Options of Start.
type Options struct {
	// Dir is the folder with everything in it; it is made when absent.
	Dir string
	// Addr is HOST:PORT to listen on; port 0 takes a free one. Empty: 127.0.0.1:0. Another machine can
	// ask only if it says so (0.0.0.0:9000), and what is sent is not encrypted.
	Addr string
	// AccessKeyID and SecretAccessKey are what requests are signed with. Empty: those kept in Dir,
	// generated at the first start.
	AccessKeyID, SecretAccessKey string
	// Bucket is made when absent. Empty: "layoutfs".
	Bucket string
	// Temporary removes Dir when the server ends, even if this process was killed.
	Temporary bool
	// Log gets what the server prints, at debug level; nil: discarded.
	Log *slog.Logger
}

// bucketName is what S3 allows, https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html,
// as far as it matters to a path.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (o Options) withDefaults() (Options, error) {
	o.Addr = cmp.Or(o.Addr, "127.0.0.1:0")
	o.Bucket = cmp.Or(o.Bucket, "layoutfs")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if (o.AccessKeyID == "") != (o.SecretAccessKey == "") {
		return o, errors.New("of the access key's two halves one is missing")
	}
	if o.Dir == "" {
		return o, errors.New("no folder is given")
	}
	if !bucketName.MatchString(o.Bucket) {
		return o, fmt.Errorf("%q is no name for a bucket: 3 to 63 of a-z, 0-9, dot and hyphen", o.Bucket)
	}
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		return o, fmt.Errorf("%q is no HOST:PORT to listen on: %w", o.Addr, err)
	}
	dir, err := filepath.Abs(o.Dir)
	o.Dir = dir
	return o, err
}
