package bucket

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxRetryAfter bounds how long a server may make us wait before one more try: a build waits too.
const maxRetryAfter = 20 * time.Second

// patient is a retryer that waits as long as the server asks for in Retry-After, which the SDK does not
// heed (it has one of AWS's own, x-amz-retry-after).
type patient struct{ aws.RetryerV2 }

func waitAsAsked(o *s3.Options) {
	if r, ok := o.Retryer.(aws.RetryerV2); ok {
		o.Retryer = patient{r}
	}
}

// RetryDelay implements aws.Retryer.
func (p patient) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, failed := p.RetryerV2.RetryDelay(attempt, err)
	return max(delay, min(retryAfter(err), maxRetryAfter)), failed
}

// retryAfter is what the answer asks for; 0 if it does not. It is seconds, or a time by the server's clock.
func retryAfter(err error) time.Duration {
	re, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || re.Response == nil {
		return 0
	}
	header := re.Response.Header
	if n, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, at.Sub(now))
}
