package bucket

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
)

// loadSDK reads the SDK's environment and files, and puts what c says above them. The mode of retries is
// given here and not to the client, which would not heed it: it makes its retryer before.
func loadSDK(ctx context.Context, c Config, o Options, log *slog.Logger) (aws.Config, error) {
	above := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithLogger(sdkLog{log}),
		awsconfig.WithRegion(c.Region),
		awsconfig.WithHTTPClient(httpClient(o)),
		awsconfig.WithEndpointCredentialOptions(func(eo *endpointcreds.Options) { eo.HTTPClient = httpClient(o) }),
		awsconfig.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		awsconfig.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if c.RetryMode != "" {
		above = append(above, awsconfig.WithRetryMode(aws.RetryMode(c.RetryMode)))
	}
	if c.RetryMaxAttempts > 0 {
		above = append(above, awsconfig.WithRetryMaxAttempts(c.RetryMaxAttempts))
	}
	if c.Access.Profile != "" {
		above = append(above, awsconfig.WithSharedConfigProfile(c.Access.Profile))
	}
	if file := c.Network.CABundle; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return aws.Config{}, fmt.Errorf("read ca_bundle: %w", err)
		}
		above = append(above, awsconfig.WithCustomCABundle(bytes.NewReader(pem)))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, above...)
	switch {
	case err != nil && c.Network.CABundle != "":
		return cfg, fmt.Errorf("load the configuration of the AWS SDK, with ca_bundle=%s: %w", c.Network.CABundle, err)
	case err != nil:
		return cfg, fmt.Errorf("load the configuration of the AWS SDK: %w", err)
	}
	return cfg, nil
}

// apply is what type=s3 makes of its parameters, and the endpoints of AWS that it does not know.
func (c Config) apply(o *s3.Options) {
	if c.EndpointURL != "" {
		o.UsePathStyle = c.UsePathStyle
		o.BaseEndpoint = aws.String(c.EndpointURL)
	}
	if c.Network.Dualstack {
		o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	o.UseAccelerate = c.Network.Accelerate
	if c.DisableAcceptEncoding {
		// Google's front end changes Accept-Encoding after it was signed: keep it out of the signature.
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			_, err := stack.Finalize.Remove("DisableAcceptEncodingGzip")
			return err
		})
	}
}

// apply puts the transport, the deadlines and the limits in the place of built, which the SDK has by now
// given what its own configuration says (a CA bundle).
func (o Options) apply(built aws.HTTPClient, l Limits) func(*s3.Options) {
	return func(so *s3.Options) {
		rt := o.Transport
		if b, ok := built.(interface{ GetTransport() *http.Transport }); ok && rt == nil {
			rt = b.GetTransport()
		}
		so.HTTPClient = &http.Client{Transport: guarded(rt, o, l), CheckRedirect: checkRedirect}
	}
}

// sdkLog is where the SDK writes what it else writes to standard error.
type sdkLog struct{ log *slog.Logger }

// Logf implements logging.Logger.
func (l sdkLog) Logf(level logging.Classification, format string, args ...any) {
	to := l.log.Debug
	if level == logging.Warn {
		to = l.log.Warn
	}
	to("AWS SDK", "says", fmt.Sprintf(format, args...))
}
