package embedded

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"
)

// leafMark ends the file name of every object, and no folder's, so that the objects "a" and "a/b" can both
// exist, as in S3: a name and the tags beneath it. It sorts before whatever may follow in a longer key
// (but for a space), so that files are in the order of their keys.
const leafMark = "!"

// leaves is a backend whose objects are files that end in leafMark. What is called a key here is the
// client's; the backend within knows files.
type leaves struct{ backend.Backend }

// file is where the object of a key is. A key that ends in a slash is a folder, which stays one.
func file(key string) string {
	if key == "" || strings.HasSuffix(key, "/") {
		return key
	}
	return key + leafMark
}

// keyOf is the inverse of file; false for a file that is no object.
func keyOf(file string) (string, bool) {
	if file == "" || strings.HasSuffix(file, "/") {
		return file, true
	}
	return strings.CutSuffix(file, leafMark)
}

func fileOf(key *string) *string {
	if key == nil {
		return nil
	}
	f := file(*key)
	return &f
}

// marker is keyOf for where a listing goes on, which need not be an object.
func marker(file *string) *string {
	if file == nil {
		return nil
	}
	key, _ := keyOf(*file)
	return &key
}

// copySource is the header x-amz-copy-source for the file of the object that it names. One that does not
// parse is left for the backend to refuse.
func copySource(header *string) *string {
	if header == nil {
		return nil
	}
	bucket, key, version, err := backend.ParseCopySource(*header)
	if err != nil {
		return header
	}
	source := url.QueryEscape(bucket + "/" + file(key))
	if version != "" {
		source += url.QueryEscape("?versionId=" + version)
	}
	return &source
}

// PutObject implements backend.Backend.
func (l leaves) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	in.Key = fileOf(in.Key)
	return l.Backend.PutObject(ctx, in)
}

// HeadObject implements backend.Backend.
func (l leaves) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	to := *in
	to.Key = fileOf(in.Key)
	return l.Backend.HeadObject(ctx, &to)
}

// GetObject implements backend.Backend.
func (l leaves) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	to := *in
	to.Key = fileOf(in.Key)
	return l.Backend.GetObject(ctx, &to)
}

// GetObjectAttributes implements backend.Backend.
func (l leaves) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	to := *in
	to.Key = fileOf(in.Key)
	return l.Backend.GetObjectAttributes(ctx, &to)
}

// CopyObject implements backend.Backend.
func (l leaves) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	in.Key, in.CopySource = fileOf(in.Key), copySource(in.CopySource)
	return l.Backend.CopyObject(ctx, in)
}

// DeleteObject implements backend.Backend.
func (l leaves) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	to := *in
	to.Key = fileOf(in.Key)
	return l.Backend.DeleteObject(ctx, &to)
}

// DeleteObjects implements backend.Backend.
func (l leaves) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	to, doomed := *in, *in.Delete
	to.Delete = &doomed
	doomed.Objects = nil
	for _, o := range in.Delete.Objects {
		o.Key = fileOf(o.Key)
		doomed.Objects = append(doomed.Objects, o)
	}
	out, err := l.Backend.DeleteObjects(ctx, &to)
	for i := range out.Deleted {
		out.Deleted[i].Key = marker(out.Deleted[i].Key)
	}
	for i := range out.Error {
		out.Error[i].Key = marker(out.Error[i].Key)
	}
	return out, err
}

// GetObjectTagging implements backend.Backend.
func (l leaves) GetObjectTagging(ctx context.Context, bucket, key, version string) (map[string]string, error) {
	return l.Backend.GetObjectTagging(ctx, bucket, file(key), version)
}

// PutObjectTagging implements backend.Backend.
func (l leaves) PutObjectTagging(ctx context.Context, bucket, key, version string, tags map[string]string) error {
	return l.Backend.PutObjectTagging(ctx, bucket, file(key), version, tags)
}

// DeleteObjectTagging implements backend.Backend.
func (l leaves) DeleteObjectTagging(ctx context.Context, bucket, key, version string) error {
	return l.Backend.DeleteObjectTagging(ctx, bucket, file(key), version)
}

// GetObjectRetention implements backend.Backend.
func (l leaves) GetObjectRetention(ctx context.Context, bucket, key, version string) ([]byte, error) {
	return l.Backend.GetObjectRetention(ctx, bucket, file(key), version)
}

// PutObjectRetention implements backend.Backend.
func (l leaves) PutObjectRetention(ctx context.Context, bucket, key, version string, retention []byte) error {
	return l.Backend.PutObjectRetention(ctx, bucket, file(key), version, retention)
}

// GetObjectLegalHold implements backend.Backend.
func (l leaves) GetObjectLegalHold(ctx context.Context, bucket, key, version string) (*bool, error) {
	return l.Backend.GetObjectLegalHold(ctx, bucket, file(key), version)
}

// PutObjectLegalHold implements backend.Backend.
func (l leaves) PutObjectLegalHold(ctx context.Context, bucket, key, version string, status bool) error {
	return l.Backend.PutObjectLegalHold(ctx, bucket, file(key), version, status)
}
