package bucket

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// markedCredentials marks the failures of a provider, which else could not be told from the failures of
// the request that asked for them.
type markedCredentials struct{ aws.CredentialsProvider }

// credentialsError says that there was nothing to sign a request with.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error      { return e.error }
func (*credentialsError) RetryableError() bool { return false } // providers try again themselves

func markCredentials(o *s3.Options) {
	if o.Credentials != nil && !aws.IsCredentialsProvider(o.Credentials, aws.AnonymousCredentials{}) {
		o.Credentials = markedCredentials{o.Credentials}
	}
}

// Retrieve implements aws.CredentialsProvider.
func (m markedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := m.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return creds, &credentialsError{err}
	}
	return creds, nil
}

// credentialsMissing says whether err is for want of credentials, as opposed to a service for them that
// does not answer. The instance's metadata service is the last of the chain: on a machine that is no
// instance its silence means that there are none.
func credentialsMissing(err error) bool {
	creds, ok := errors.AsType[*credentialsError](err)
	if !ok {
		return false
	}
	op, ok := errors.AsType[*smithy.OperationError](creds.error)
	return !lost(creds.error) || (ok && op.Service() == "ec2imds")
}
