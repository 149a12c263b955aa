package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

const (
	areaBucket     = "bucket"
	areaPermission = "permission"
	areaServer     = "server"

	// maxSkew is from where on S3 refuses requests, and warnSkew from where on it is worth a word.
	maxSkew  = 15 * time.Minute
	warnSkew = time.Minute
)

// theBucket asks the bucket, and if it answers tries what is allowed and how the server behaves.
func theBucket(ctx context.Context, o Options, yield func(Finding) bool) bool {
	if o.Bucket == nil {
		return true
	}
	client, err := bucket.Open(ctx, *o.Bucket, bucket.Options{Log: o.Log})
	if err == nil {
		err = client.Check(ctx)
	}
	if !yield(judged(areaBucket, o.Bucket.String(), err, "")) || err != nil { // the error says what to do
		return err != nil
	}
	if !yield(clock(ctx, client)) {
		return false
	}
	allowed := true
	for _, p := range client.Permissions(ctx, o.ReadOnly) {
		f := permission(p)
		allowed = allowed && f.Result == OK
		if !yield(f) {
			return false
		}
	}
	if o.ReadOnly || !allowed {
		return true // what is tried next writes
	}
	for _, q := range client.Quirks(ctx) {
		if !yield(quirk(q)) {
			return false
		}
	}
	return true
}

func clock(ctx context.Context, client *bucket.Client) Finding {
	f := Finding{Area: areaBucket, What: "clock", Result: OK}
	skew, err := client.Skew(ctx)
	if err != nil {
		f.Result, f.Says = Warn, err.Error()
		return f
	}
	if skew.Abs() < warnSkew {
		return f
	}
	f.Result, f.Says = Warn, fmt.Sprintf("the server's clock and this machine's differ by %s", skew.Round(time.Second))
	f.Do = "set this machine's clock (NTP): from a quarter of an hour on S3 refuses requests"
	if skew.Abs() >= maxSkew {
		f.Result = Fail
	}
	return f
}

func permission(p bucket.Permission) Finding {
	f := Finding{Area: areaPermission, What: p.Action.Name, Result: OK, Says: p.Action.For}
	switch p.Outcome {
	case bucket.Allowed:
	case bucket.Denied:
		f.Result, f.Says = Fail, "denied; it is needed for "+p.Action.For
		if p.Action.Optional {
			f.Result = Warn
		}
		f.Do = "allow " + p.Action.Name + " on " + resource(p.Action) + " in the policy of this user or role, and in that of the bucket"
	default:
		f.Result, f.Says = Warn, fmt.Sprint(p.Err)
	}
	return f
}

func resource(a bucket.Action) string {
	if a.Bucket {
		return "the bucket"
	}
	return "its objects"
}

func quirk(q bucket.Quirk) Finding {
	f := Finding{Area: areaServer, What: q.What, Result: OK, Says: q.Note}
	if q.Err != nil {
		f.Result, f.Says = Fail, q.Err.Error()
		f.Do = "tell the server's makers, or use another server; docs/parameters.md tells which parameters help with which"
	}
	return f
}
