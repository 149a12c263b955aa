package embedded

import (
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// nested are keys in S3's order of which one is the folder of others.
var nested = []string{"a", "a-x", "a.x", "a/b", "a/b/c", "a/b/c/d", "a0", "b/c", "ü/ü"}

// newStore is the backend that the server has, on an empty bucket "bucket".
func newStore(t *testing.T) backend.Backend {
	t.Helper()
	t.Chdir(t.TempDir()) // versitygw changes it
	dir := folder(t.TempDir())
	if err := dir.prepare("bucket"); err != nil {
		t.Fatal(err)
	}
	be, err := store(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(be.Shutdown)
	return be
}

func put(t *testing.T, be backend.Backend, keys ...string) {
	t.Helper()
	for _, key := range keys {
		_, err := be.PutObject(t.Context(), s3response.PutObjectInput{
			Bucket: aws.String("bucket"), Key: &key, Body: strings.NewReader(key), ContentLength: aws.Int64(int64(len(key))),
		})
		if err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
	}
}

func read(t *testing.T, be backend.Backend, key string) (string, error) {
	t.Helper()
	out, err := be.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: &key, Range: aws.String("")})
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(out.Body)
	return string(b), errors.Join(err, out.Body.Close())
}

// listed are the keys of the pages of a listing, and its common prefixes.
func listed(t *testing.T, be backend.Backend, in s3.ListObjectsV2Input) (keys, prefixes []string) {
	t.Helper()
	in.Bucket, in.StartAfter = aws.String("bucket"), aws.String(aws.ToString(in.StartAfter))
	in.ContinuationToken = aws.String("")
	for {
		out, err := be.ListObjectsV2(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		if n := int(*out.KeyCount); n != len(out.Contents)+len(out.CommonPrefixes) {
			t.Errorf("KeyCount is %d with %d keys and %d prefixes", n, len(out.Contents), len(out.CommonPrefixes))
		}
		for _, o := range out.Contents {
			keys = append(keys, *o.Key)
		}
		for _, p := range out.CommonPrefixes {
			prefixes = append(prefixes, *p.Prefix)
		}
		if !*out.IsTruncated {
			return keys, prefixes
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// TestObjectsBesideFolders holds the promise of leaves, which a name and the tags beneath it need: a and
// a/b can both exist, whichever comes first, and go without each other.
func TestObjectsBesideFolders(t *testing.T) {
	backwards := slices.Clone(nested)
	slices.Reverse(backwards)
	for name, order := range map[string][]string{"folders later": nested, "folders first": backwards} {
		t.Run(name, func(t *testing.T) {
			be := newStore(t)
			put(t, be, order...)
			for i, key := range order {
				for _, left := range order[i:] {
					if got, err := read(t, be, left); got != left || err != nil {
						t.Errorf("%q is read as %q, %v", left, got, err)
					}
				}
				if _, err := be.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("bucket"), Key: &key}); err != nil {
					t.Fatal(err)
				}
				if got, err := read(t, be, key); err == nil {
					t.Errorf("%q is read as %q after it was deleted", key, got)
				}
			}
		})
	}
}

func TestListingsAreInOrder(t *testing.T) {
	be := newStore(t)
	put(t, be, nested...)
	for _, tc := range []struct {
		name           string
		in             s3.ListObjectsV2Input
		keys, prefixes []string
	}{
		{"all", s3.ListObjectsV2Input{}, nested, nil},
		{"prefix", s3.ListObjectsV2Input{Prefix: aws.String("a")}, nested[:7], nil},
		{"prefix of a folder", s3.ListObjectsV2Input{Prefix: aws.String("a/b")}, nested[3:6], nil},
		{"prefix that is only a mark", s3.ListObjectsV2Input{Prefix: aws.String("a!")}, nil, nil},
		{"delimiter", s3.ListObjectsV2Input{Delimiter: aws.String("/")}, []string{"a", "a-x", "a.x", "a0"}, []string{"a/", "b/", "ü/"}},
		{"prefix and delimiter", s3.ListObjectsV2Input{Prefix: aws.String("a/"), Delimiter: aws.String("/")}, []string{"a/b"}, []string{"a/b/"}},
		{"start after an object", s3.ListObjectsV2Input{StartAfter: aws.String("a/b")}, nested[4:], nil},
		{"start after a folder's object", s3.ListObjectsV2Input{StartAfter: aws.String("a")}, nested[1:], nil},
	} {
		for _, size := range []int32{1, 2, 1000} {
			in := tc.in
			in.MaxKeys = &size
			keys, prefixes := listed(t, be, in)
			if !slices.Equal(keys, tc.keys) || !slices.Equal(prefixes, tc.prefixes) {
				t.Errorf("%s, by %d: %q and %q, want %q and %q", tc.name, size, keys, prefixes, tc.keys, tc.prefixes)
			}
		}
	}
}

func TestListingOfVersionOneGoesOnAtItsMarker(t *testing.T) {
	be := newStore(t)
	put(t, be, nested...)
	in := s3.ListObjectsInput{Bucket: aws.String("bucket"), MaxKeys: aws.Int32(1)}
	var keys []string
	for more := true; more; {
		out, err := be.ListObjects(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.Contents {
			keys = append(keys, *o.Key)
			in.Marker = o.Key
		}
		more = *out.IsTruncated
	}
	if !slices.Equal(keys, nested) {
		t.Errorf("%q, want %q", keys, nested)
	}
}

func TestCopyOfAnObjectBesideAFolder(t *testing.T) {
	be := newStore(t)
	put(t, be, nested...)
	for _, key := range nested {
		_, err := be.CopyObject(t.Context(), s3response.CopyObjectInput{
			Bucket: aws.String("bucket"), Key: aws.String("copy/" + key), CopySource: aws.String("bucket/" + url.PathEscape(key)),
			ExpectedBucketOwner: aws.String(""), MetadataDirective: types.MetadataDirectiveCopy, TaggingDirective: types.TaggingDirectiveCopy,
		})
		if err != nil {
			t.Fatalf("copy %q: %v", key, err)
		}
		if got, err := read(t, be, "copy/"+key); got != key || err != nil {
			t.Errorf("the copy of %q is %q, %v", key, got, err)
		}
	}
}

func TestObjectsAreDeletedByTheirKeys(t *testing.T) {
	be := newStore(t)
	put(t, be, "a", "a/b", "kept")
	out, err := be.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{
		Bucket: aws.String("bucket"),
		Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("a")}, {Key: aws.String("a/b")}}},
	})
	if err != nil || len(out.Deleted) != 2 || *out.Deleted[0].Key != "a" || *out.Deleted[1].Key != "a/b" {
		t.Errorf("%+v, %v", out, err)
	}
	if keys, _ := listed(t, be, s3.ListObjectsV2Input{MaxKeys: aws.Int32(1000)}); !slices.Equal(keys, []string{"kept"}) {
		t.Errorf("left: %q", keys)
	}
}

// TestUploadInPartsBesideAFolder uploads in parts what is the folder of another, as a large blob is.
func TestUploadInPartsBesideAFolder(t *testing.T) {
	be, b, key := newStore(t), aws.String("bucket"), aws.String("a")
	put(t, be, "a/b")
	begun, err := be.CreateMultipartUpload(t.Context(), s3response.CreateMultipartUploadInput{Bucket: b, Key: key})
	if err != nil || begun.Key != "a" {
		t.Fatalf("%+v, %v", begun, err)
	}
	part, err := be.UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: b, Key: key, UploadId: &begun.UploadId, PartNumber: aws.Int32(1),
		Body: strings.NewReader("part"), ContentLength: aws.Int64(4),
	})
	if err != nil {
		t.Fatal(err)
	}
	done, _, err := be.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: b, Key: key, UploadId: &begun.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}},
	})
	if err != nil || *done.Key != "a" {
		t.Fatalf("%+v, %v", done, err)
	}
	for key, want := range map[string]string{"a": "part", "a/b": "a/b"} {
		if got, err := read(t, be, key); got != want || err != nil {
			t.Errorf("%q is read as %q, %v", key, got, err)
		}
	}
}

// TestFilesByHandAreNoObjects puts a file into a bucket that no client wrote.
func TestFilesByHandAreNoObjects(t *testing.T) {
	be := newStore(t)
	put(t, be, "object")
	if err := os.WriteFile(filepath.Join("bucket", "README"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if keys, _ := listed(t, be, s3.ListObjectsV2Input{MaxKeys: aws.Int32(1000)}); !slices.Equal(keys, []string{"object"}) {
		t.Errorf("listed: %q", keys)
	}
	_, err := read(t, be, "README")
	var api s3err.S3Error
	if !errors.As(err, &api) || api.BaseError().Code != "NoSuchKey" {
		t.Errorf("read: %v, want NoSuchKey", err)
	}
}
