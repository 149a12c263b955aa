// Package bucket is the S3 client. It keeps the very layout of objects that BuildKit's type=s3 keeps, so
// that both kinds of client share one bucket: a blob is PREFIX+BLOBS_PREFIX+"sha256:HEX", a name is
// PREFIX+MANIFESTS_PREFIX+NAME with BuildKit's CacheConfig as its body and, as user metadata, the
// descriptor of the layout's own manifest. No slash is put between the pieces.
//
// Files are split by verb: stat, open, put, touch, list for blobs, names for names, check for the person
// at the terminal; csv reads the parameters, transport and watchdog hold the deadlines, errors says what
// an answer means.
//
// Invariants: nothing waits for ever (every request dials, waits for its answer and moves its body under
// a deadline of its own, besides the caller's context); memory is bounded whatever the size of a blob; a
// body shorter than promised is an error, never short data; no error text holds a secret. There is no
// lock. Production code imports the AWS SDK here and nowhere else.
//
// Sources: github.com/moby/buildkit/cache/remotecache/s3 for keys, defaults and the touch;
// https://docs.aws.amazon.com/AmazonS3/latest/API for the limits.
package bucket
