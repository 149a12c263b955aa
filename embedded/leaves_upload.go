package embedded

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3response"
)

// CreateMultipartUpload implements backend.Backend.
func (l leaves) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	in.Key = fileOf(in.Key)
	out, err := l.Backend.CreateMultipartUpload(ctx, in)
	out.Key, _ = keyOf(out.Key)
	return out, err
}

// UploadPart implements backend.Backend.
func (l leaves) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	to := *in
	to.Key = fileOf(in.Key)
	return l.Backend.UploadPart(ctx, &to)
}

// UploadPartCopy implements backend.Backend.
func (l leaves) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	to := *in
	to.Key, to.CopySource = fileOf(in.Key), copySource(in.CopySource)
	return l.Backend.UploadPartCopy(ctx, &to)
}

// CompleteMultipartUpload implements backend.Backend.
func (l leaves) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	to := *in
	to.Key = fileOf(in.Key)
	out, version, err := l.Backend.CompleteMultipartUpload(ctx, &to)
	out.Key = marker(out.Key)
	return out, version, err
}

// AbortMultipartUpload implements backend.Backend.
func (l leaves) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	to := *in
	to.Key = fileOf(in.Key)
	return l.Backend.AbortMultipartUpload(ctx, &to)
}

// ListParts implements backend.Backend.
func (l leaves) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	to := *in
	to.Key = fileOf(in.Key)
	out, err := l.Backend.ListParts(ctx, &to)
	out.Key, _ = keyOf(out.Key)
	return out, err
}

// ListMultipartUploads implements backend.Backend.
func (l leaves) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	to := *in
	to.KeyMarker = fileOf(in.KeyMarker)
	out, err := l.Backend.ListMultipartUploads(ctx, &to)
	out.KeyMarker, _ = keyOf(out.KeyMarker)
	out.NextKeyMarker, _ = keyOf(out.NextKeyMarker)
	for i := range out.Uploads {
		out.Uploads[i].Key, _ = keyOf(out.Uploads[i].Key)
	}
	return out, err
}
