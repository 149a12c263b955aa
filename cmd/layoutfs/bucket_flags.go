package main

import "github.com/urfave/cli/v3"

// bucketFlags are --s3 and the parameters of type=s3; --some-key is some_key of the CSV. They are text here:
// the CSV's own parser says what is wrong with one.
func bucketFlags() []cli.Flag {
	return []cli.Flag{
		text(groupBucket, "s3", "", "`CSV` of --cache-to type=s3,..."),
		text(groupBucket, "bucket", "", "`NAME` of the bucket, or $AWS_BUCKET"),
		text(groupBucket, "region", "", "`REGION` of the bucket, or $AWS_REGION"),
		text(groupBucket, "name", "", "`NAME` of the cache that is tag latest of the root layout; a;b publishes to both and reads a (default: buildkit)"),
		text(groupBucket, "prefix", "", "`PREFIX` of every key"),
		text(groupBucket, "blobs-prefix", "", "`PREFIX` of blobs, after --prefix (default: blobs/)"),
		text(groupBucket, "manifests-prefix", "", "`PREFIX` of names, after --prefix (default: manifests/)"),

		text(groupCredentials, "access-key-id", "", "`ID` of a static key"),
		text(groupCredentials, "secret-access-key", "", "`SECRET` of a static key"),
		text(groupCredentials, "session-token", "", "`TOKEN` of a temporary key"),
		text(groupCredentials, "profile", "", "`NAME` of a profile of the AWS configuration files, or $AWS_PROFILE"),
		toggle(groupCredentials, "no-sign-request", "ask without credentials, for a public bucket"),

		text(groupServer, "endpoint-url", "", "`URL` of a server that is not AWS"),
		toggle(groupServer, "use-path-style", "put the bucket into the path of the URL, not into the host name"),
		text(groupServer, "ca-bundle", "", "`FILE` with the authorities to trust in TLS, or $AWS_CA_BUNDLE"),
		toggle(groupServer, "disable-accept-encoding", "for Google Cloud Storage"),
		toggle(groupServer, "dualstack", "reach AWS over IPv6, too"),
		toggle(groupServer, "accelerate", "use S3 Transfer Acceleration"),
		text(groupServer, "expected-bucket-owner", "", "`ACCOUNT` that the bucket must belong to"),
		text(groupServer, "request-payer", "", "`requester`: you pay for requests to somebody else's bucket"),

		text(groupObjects, "touch-refresh", "", "`AGE` from which a blob that is published again is touched (default: 24h)"),
		text(groupObjects, "storage-class", "", "`CLASS` of what is written, such as STANDARD_IA"),
		text(groupObjects, "acl", "", "canned `ACL` of what is written, such as bucket-owner-full-control"),
		text(groupObjects, "sse", "", "`TYPE` of server-side encryption: AES256, aws:kms or aws:kms:dsse"),
		text(groupObjects, "sse-kms-key-id", "", "`KEY` of aws:kms (default: the account's)"),

		text(groupRequests, "upload-parallelism", "", "upload `N` blobs at once (default: 4)"),
		text(groupRequests, "upload-limit", "", "upload at most `BYTES` per second, such as 50MB"),
		text(groupRequests, "download-limit", "", "download at most `BYTES` per second"),
		text(groupRequests, "request-limit", "", "make at most `N` requests per second"),
		text(groupRequests, "retry-mode", "", "`MODE` of the AWS SDK: standard or adaptive"),
		text(groupRequests, "retry-max-attempts", "", "make `N` attempts at a request"),

		text(groupPrinted, "mode", "", "`MODE`: min or max (default: min)"),
		toggle(groupPrinted, "ignore-error", "a failed export does not fail the build"),
		text(groupPrinted, "compression", "", "`TYPE` of new layers: uncompressed, gzip, estargz or zstd"),
		text(groupPrinted, "compression-level", "", "`LEVEL` of that compression"),
		toggle(groupPrinted, "force-compression", "compress all layers so, not only new ones"),
	}
}
