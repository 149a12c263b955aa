package bucket

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// headers are what a request carries because of c. They are added here for all operations, and not to each
// one's input, so that none is forgotten: a touch that does not repeat the storage class takes it away.
func (c Config) headers(operation string) map[string]string {
	h := map[string]string{}
	if operation == "CreateBucket" { // which has other headers of these names
		return h
	}
	h["X-Amz-Request-Payer"] = c.Access.RequestPayer
	h["X-Amz-Expected-Bucket-Owner"] = c.Access.ExpectedBucketOwner
	switch operation {
	case "CopyObject", "UploadPartCopy": // the source is in the same bucket
		h["X-Amz-Source-Expected-Bucket-Owner"] = c.Access.ExpectedBucketOwner
	}
	switch operation {
	case "PutObject", "CopyObject", "CreateMultipartUpload":
		h["X-Amz-Server-Side-Encryption"] = c.Storage.SSE
		h["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = c.Storage.SSEKMSKeyID
		h["X-Amz-Storage-Class"] = c.Storage.Class
		h["X-Amz-Acl"] = c.Storage.ACL
	}
	return h
}

// addHeaders adds the headers of c to every request, ahead of its signature.
func (c Config) addHeaders(o *s3.Options) {
	add := func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (
		middleware.BuildOutput, middleware.Metadata, error,
	) {
		if r, ok := in.Request.(*smithyhttp.Request); ok {
			for key, value := range c.headers(middleware.GetOperationName(ctx)) {
				if value != "" {
					r.Header.Set(key, value)
				}
			}
		}
		return next.HandleBuild(ctx, in)
	}
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("ConfiguredHeaders", add), middleware.After)
	})
}
