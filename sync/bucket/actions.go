package bucket

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
)

// Action is an IAM action that a mount needs,
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html.
type Action struct {
	Name     string // such as s3:GetObject
	For      string // what it is needed for
	Bucket   bool   // granted on the bucket itself, not on its objects
	ReadOnly bool   // a read-only mount needs it too
	Optional bool   // a mount does without, if nobody wants what it is for
}

// Actions are what a mount with c needs to be allowed. Those of kms are granted on the key.
func (c Config) Actions() []Action {
	actions := []Action{
		{Name: "s3:ListBucket", For: "listing names and blobs, and telling a blob that is not there from one that is denied", Bucket: true, ReadOnly: true},
		{Name: "s3:GetObject", For: "reading names and blobs, and looking whether a blob is there", ReadOnly: true},
		{Name: "s3:PutObject", For: "uploading blobs, whole and in parts, touching them, and writing names"},
		{Name: "s3:AbortMultipartUpload", For: "removing the parts of an upload that failed"},
		{Name: "s3:DeleteObject", For: "deleting names with --allow-delete, and what prune removes; nothing else", Optional: true},
		{Name: "s3:ListBucketMultipartUploads", For: "finding the parts of unfinished uploads that prune removes; nothing else", Bucket: true, Optional: true},
	}
	if c.Storage.ACL != "" {
		actions = append(actions, Action{Name: "s3:PutObjectAcl", For: "acl=" + c.Storage.ACL})
	}
	if strings.HasPrefix(c.Storage.SSE, "aws:kms") {
		actions = append(
			actions,
			Action{Name: "kms:GenerateDataKey", For: "writing with sse=" + c.Storage.SSE},
			Action{Name: "kms:Decrypt", For: "reading, and uploading in parts, with sse=" + c.Storage.SSE, ReadOnly: true},
		)
	}
	return actions
}

// namesOf joins the names of those actions that are, or are not, granted on the bucket itself.
func namesOf(actions []Action, bucket bool) string {
	var names []string
	for _, a := range actions {
		if a.Bucket == bucket {
			names = append(names, a.Name)
		}
	}
	return strings.Join(names, ", ")
}

// needs are the actions that a request which was denied needs. AWS says most often which one it was, other
// servers do not, and nobody in the answer to a HEAD.
func (c Config) needs(err error) string {
	op, ok := errors.AsType[*smithy.OperationError](err)
	code := codeOf(err)
	if !ok || statusOf(err) != http.StatusForbidden || (code != "AccessDenied" && code != "Forbidden") || named.MatchString(describe(err)) {
		return ""
	}
	put := "s3:PutObject"
	if c.Storage.ACL != "" {
		put += " and s3:PutObjectAcl"
	}
	switch operation := op.Operation(); operation {
	case "ListObjectsV2":
		return "s3:ListBucket"
	case "ListMultipartUploads":
		return "s3:ListBucketMultipartUploads"
	case "GetObject", "HeadObject": // who may not list is told the same of what is not there
		return "s3:GetObject and s3:ListBucket"
	case "CopyObject", "UploadPartCopy":
		return "s3:GetObject and " + put
	case "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload":
		return put
	default:
		return "s3:" + operation
	}
}
