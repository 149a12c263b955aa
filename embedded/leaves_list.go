package embedded

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3response"
)

// ListObjects implements backend.Backend.
func (l leaves) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	to := *in
	to.Marker = fileOf(in.Marker)
	out, err := l.Backend.ListObjects(ctx, &to)
	out.Marker, out.NextMarker = in.Marker, marker(out.NextMarker)
	out.Contents = objects(out.Contents, in.Prefix)
	return out, err
}

// ListObjectsV2 implements backend.Backend. Its tokens are opaque, and stay as they are.
func (l leaves) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	to := *in
	to.StartAfter = fileOf(in.StartAfter)
	out, err := l.Backend.ListObjectsV2(ctx, &to)
	listed := len(out.Contents)
	out.StartAfter, out.Contents = in.StartAfter, objects(out.Contents, in.Prefix)
	if out.KeyCount != nil {
		*out.KeyCount -= int32(listed - len(out.Contents))
	}
	return out, err
}

// objects are the files of a listing as their keys, without those that are no objects or match a prefix
// by their mark only.
func objects(files []s3response.Object, prefix *string) []s3response.Object {
	kept := files[:0]
	for _, o := range files {
		key, ok := keyOf(*o.Key)
		if ok && matches(key, prefix) {
			o.Key = &key
			kept = append(kept, o)
		}
	}
	return kept
}

// ListObjectVersions implements backend.Backend. There is one version of each object.
func (l leaves) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	to := *in
	to.KeyMarker = fileOf(in.KeyMarker)
	out, err := l.Backend.ListObjectVersions(ctx, &to)
	out.KeyMarker, out.NextKeyMarker = in.KeyMarker, marker(out.NextKeyMarker)
	kept := out.Versions[:0]
	for _, v := range out.Versions {
		key, ok := keyOf(*v.Key)
		if ok && matches(key, in.Prefix) {
			v.Key = &key
			kept = append(kept, v)
		}
	}
	out.Versions = kept
	return out, err
}

func matches(key string, prefix *string) bool {
	return prefix == nil || strings.HasPrefix(key, *prefix)
}
