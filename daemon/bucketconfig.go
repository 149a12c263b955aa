package daemon

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"strings"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// Param is one parameter of type=s3 that is given beside the CSV.
type Param struct{ Key, Value string }

// ParseBucket reads the CSV of --s3 with parameters that complete and override it. With embedded, the bucket
// and the region need not be given, and the environment is not asked for them.
func ParseBucket(s3 string, params []Param, embedded bool) (bucket.Config, error) {
	env := os.LookupEnv
	if embedded {
		s3 = strings.TrimSuffix("bucket=layoutfs,region=us-east-1,"+s3, ",")
		env = func(string) (string, bool) { return "", false }
	}
	c, err := bucket.Parse(appendParams(s3, params), env)
	if name, _ := env("AWS_BUCKET"); err != nil && name == "" && s3 == "" && len(params) == 0 {
		return c, errors.New("which bucket? Give --s3 bucket=NAME,region=REGION,..., or --embedded DIR for one in a local folder")
	}
	return c, err
}

// appendParams writes parameters at the end of a CSV, where they count: the last of a key does.
func appendParams(s3 string, params []Param) string {
	if len(params) == 0 {
		return s3
	}
	fields := make([]string, 0, len(params))
	for _, p := range params {
		fields = append(fields, p.Key+"="+p.Value)
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(fields) // a bytes.Buffer takes everything
	w.Flush()
	more := strings.TrimSuffix(b.String(), "\n")
	if strings.TrimSpace(s3) == "" {
		return more
	}
	return s3 + "," + more
}
