package bucket_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
	"github.com/layoutfs/layoutfs/sync/bucket/buckettest"
)

// actionOf is the IAM action that S3 looks for at a request.
func actionOf(r *http.Request) string {
	switch op := operation(r); op {
	case "ListObjectsV2":
		return "s3:ListBucket"
	case "ListMultipartUploads":
		return "s3:ListBucketMultipartUploads"
	case "GetObject", "HeadObject":
		return "s3:GetObject"
	case "AbortMultipartUpload", "DeleteObject":
		return "s3:" + op
	}
	return "s3:PutObject"
}

// denying is a real server before which some actions are denied as AWS denies them.
func denying(actions ...string) *fault {
	return &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
		switch action := actionOf(r); {
		case slices.Contains(actions, action):
			return answer(r, http.StatusForbidden, "AccessDenied"), nil
		case slices.Contains(actions, "kms:GenerateDataKey") && operation(r) == "CreateMultipartUpload":
			resp := answer(r, http.StatusForbidden, "AccessDenied")
			body(resp, strings.NewReader("<Error><Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/u is not authorized to perform: "+
				"kms:GenerateDataKey on resource: arn:aws:kms:r:1:key/k</Message></Error>"))
			return resp, nil
		}
		return nil, nil
	}}
}

// outcomes are what was tried, by action.
func outcomes(permissions []bucket.Permission) map[string]bucket.Outcome {
	all := map[string]bucket.Outcome{}
	for _, p := range permissions {
		all[p.Action.Name] = p.Outcome
	}
	return all
}

// TestPermissions denies one action after the other: that one is told, and nothing is left in the bucket.
func TestPermissions(t *testing.T) {
	t.Parallel()
	kms := bucket.Storage{SSE: "aws:kms", ACL: "private"}
	tests := []struct {
		storage bucket.Storage
		denied  []string
		others  []string // that cannot be told then
	}{
		{bucket.Storage{}, nil, nil},
		{bucket.Storage{}, []string{"s3:ListBucket"}, nil},
		{bucket.Storage{}, []string{"s3:GetObject"}, nil},
		{bucket.Storage{}, []string{"s3:PutObject"}, nil},
		{bucket.Storage{}, []string{"s3:AbortMultipartUpload"}, nil},
		{bucket.Storage{}, []string{"s3:DeleteObject"}, nil},
		{bucket.Storage{}, []string{"s3:ListBucketMultipartUploads"}, nil},
		{bucket.Storage{}, []string{"s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"}, nil},
		{bucket.Storage{}, []string{"s3:GetObject", "s3:ListBucket"}, []string{"s3:GetObject"}},
		{kms, nil, nil},
		{kms, []string{"kms:GenerateDataKey"}, []string{"s3:PutObject", "s3:PutObjectAcl"}},
		{kms, []string{"s3:AbortMultipartUpload"}, []string{"s3:PutObjectAcl", "kms:GenerateDataKey"}},
	}
	for _, tc := range tests {
		t.Run(strings.Join(append(tc.denied, tc.storage.SSE), ","), func(t *testing.T) {
			t.Parallel()
			cfg := buckettest.Start(t)
			cfg.Storage = tc.storage
			owner := buckettest.OpenWith(t, cfg, bucket.Options{})
			buckettest.Put(t, owner, []byte("x"))
			want := map[string]bucket.Outcome{}
			for _, a := range cfg.Actions() {
				want[a.Name] = bucket.Allowed
			}
			for _, a := range tc.denied {
				want[a] = bucket.Denied
			}
			for _, a := range tc.others {
				want[a] = bucket.Other
			}
			tried := buckettest.OpenWith(t, cfg, bucket.Options{Transport: denying(tc.denied...)}).Permissions(t.Context(), false)
			if got := outcomes(tried); !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			for _, p := range tried {
				if (p.Err == nil) != (p.Outcome == bucket.Allowed) {
					t.Errorf("%s is %s: %v", p.Action.Name, p.Outcome, p.Err)
				}
			}
			wantUploads(t, owner, 0)
			all := cfg
			all.ManifestsPrefix = ""
			if got := namesIn(t, all); len(got) != 1 {
				t.Errorf("in the bucket: %q, want the blob alone", got)
			}
		})
	}
}

func namesIn(t *testing.T, cfg bucket.Config) []string {
	t.Helper()
	cfg.BlobsPrefix = "nowhere/"
	names, err := namesOf(t, buckettest.OpenWith(t, cfg, bucket.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestPermissionsOfAReadOnlyMount: nothing is asked that would write.
func TestPermissionsOfAReadOnlyMount(t *testing.T) {
	t.Parallel()
	f := denying("s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject")
	f.edit = func(_ int64, r *http.Response) {
		if r.Request.Method != http.MethodGet {
			t.Errorf("%s was asked", operation(r.Request))
		}
	}
	got := outcomes(buckettest.OpenWith(t, buckettest.Start(t), bucket.Options{Transport: f}).Permissions(t.Context(), true))
	if want := map[string]bucket.Outcome{"s3:ListBucket": bucket.Allowed, "s3:GetObject": bucket.Allowed}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestPermissionsInVain: what fails for another reason is neither allowed nor denied.
func TestPermissionsInVain(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fault{
		"a wrong key": {do: func(_ int64, r *http.Request) (*http.Response, error) {
			return answer(r, 403, "InvalidAccessKeyId"), nil
		}},
		"a wrong clock": {do: func(_ int64, r *http.Request) (*http.Response, error) {
			return answer(r, 403, "RequestTimeTooSkewed"), nil
		}},
		"no bucket":  {do: func(_ int64, r *http.Request) (*http.Response, error) { return answer(r, 404, "NoSuchBucket"), nil }},
		"no network": {do: func(int64, *http.Request) (*http.Response, error) { return nil, errors.New("no route to host") }},
	} {
		c := buckettest.OpenWith(t, at("http://s3.test"), bucket.Options{Transport: f})
		for _, p := range c.Permissions(t.Context(), false) {
			if p.Outcome != bucket.Other || p.Err == nil || !strings.Contains(p.Err.Error(), p.Action.Name) {
				t.Errorf("%s: %s is %s: %v", name, p.Action.Name, p.Outcome, p.Err)
			}
		}
	}
}

// TestDeleteMarkers: where versions are kept, trying s3:DeleteObject leaves none. Some servers do not know
// the condition, and some leave a marker all the same.
func TestDeleteMarkers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		first, second int // status
		code          string
		want          []string // "condition version", by request
	}{
		"condition is known":       {412, 0, "PreconditionFailed", []string{"* "}},
		"condition, nothing there": {404, 0, "NoSuchKey", []string{"* "}},
		"condition is refused":     {501, 204, "NotImplemented", []string{"* ", " "}},
		"condition is not heeded":  {204, 0, "", []string{"* "}},
		"a marker is made":         {299, 204, "", []string{"* ", " marker"}},
	} {
		var asked []string
		f := &fault{do: func(_ int64, r *http.Request) (*http.Response, error) {
			if operation(r) != "DeleteObject" {
				return answer(r, http.StatusForbidden, "AccessDenied"), nil
			}
			asked = append(asked, fmt.Sprintf("%s %s", r.Header.Get("If-Match"), r.URL.Query().Get("versionId")))
			status := tc.first
			if len(asked) > 1 {
				status = tc.second
			}
			if status >= 300 {
				return answer(r, status, tc.code), nil
			}
			resp := answer(r, http.StatusNoContent, "")
			if status == 299 {
				resp.Header.Set("X-Amz-Delete-Marker", "true")
				resp.Header.Set("X-Amz-Version-Id", "marker")
			}
			resp.Body = http.NoBody
			return resp, nil
		}}
		cfg := at("http://s3.test")
		cfg.RetryMaxAttempts = 1
		c := buckettest.OpenWith(t, cfg, bucket.Options{Transport: f})
		got := outcomes(c.Permissions(t.Context(), false))
		if got["s3:DeleteObject"] != bucket.Allowed || !slices.Equal(asked, tc.want) {
			t.Errorf("%s: it is %s, asked %q, want %q", name, got["s3:DeleteObject"], asked, tc.want)
		}
	}
}
