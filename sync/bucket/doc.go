// Package bucket is the S3 client. It keeps the very layout of objects that BuildKit's type=s3 keeps, so
// that both kinds of client share one bucket: a blob is PREFIX+BLOBS_PREFIX+"sha256:HEX", a name is
// PREFIX+MANIFESTS_PREFIX+NAME with BuildKit's CacheConfig as its body and, as user metadata, the
// descriptor of the layout's own manifest. No slash is put between the pieces.
//
// Files are split by verb: stat, open, put, touch, list for blobs, names for names, check and permissions
// for the person at the terminal. Parameters: config holds them, csv and setters read them, validate judges
// them. The way of a request: headers adds what is configured, credentials signs, retry tries again, limits
// keeps it waiting, watchdog holds the deadlines, transport connects; errors says what an answer means.
//
// Invariants: nothing waits for ever (every request dials, waits for its answer and moves its body under
// a deadline of its own, besides the caller's context); memory is bounded whatever the size of a blob; a
// body shorter than promised is an error, never short data, and so is a listing that ends early; no error
// text holds a secret. No lock is held while anything is waited for. Production code imports the AWS SDK
// here and nowhere else.
//
// Sources: github.com/moby/buildkit/cache/remotecache/s3 for keys, defaults and the touch;
// https://docs.aws.amazon.com/AmazonS3/latest/API for the limits.
package bucket
