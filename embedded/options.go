package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
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

// Validate says what is wrong with o. Start calls it.
func (o Options) Validate() error {
	if o.Dir == "" {
		return errors.New("no folder is given")
	}
	if (o.AccessKeyID == "") != (o.SecretAccessKey == "") {
		return errors.New("of the access key's two halves one is missing")
	}
	if o.Bucket != "" && !bucketName.MatchString(o.Bucket) {
		return fmt.Errorf("%q is no name for a bucket: write it as 3 to 63 of a-z, 0-9, dot and hyphen", o.Bucket)
	}
	if o.Addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(o.Addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write it as HOST:PORT, the port being a number up to 65535", o.Addr)
	}
	return nil
}

func (o Options) withDefaults() (Options, error) {
	if err := o.Validate(); err != nil {
		return o, err
	}
	o.Addr = cmp.Or(o.Addr, "127.0.0.1:0")
	o.Bucket = cmp.Or(o.Bucket, "layoutfs")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(o.Dir)
	o.Dir = dir
	return o, err
}
