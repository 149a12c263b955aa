package daemon

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// TestWhatABucketDoesNotAnswerIsAskedAgain, until it answers, or nobody wants it any more.
func TestWhatABucketDoesNotAnswerIsAskedAgain(t *testing.T) {
	away, denied := fmt.Errorf("drop: %w", bucket.ErrUnreachable), errors.New("denied")
	for name, tc := range map[string]struct {
		answers []error // of one try after the other
		ends    bool    // the mount, with the last of them
		want    error
	}{
		"at once":       {[]error{nil}, false, nil},
		"later":         {[]error{away, away, nil}, false, nil},
		"refused":       {[]error{away, denied}, false, denied},
		"until it ends": {[]error{away}, true, away},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				tries := 0
				err := whenItAnswers(ctx, func(context.Context) error {
					if tries++; tries == len(tc.answers) && tc.ends {
						cancel()
					}
					return tc.answers[tries-1]
				})
				if !errors.Is(err, tc.want) || tries != len(tc.answers) {
					t.Errorf("%v after %d tries, want %v after %d", err, tries, tc.want, len(tc.answers))
				}
			})
		})
	}
}
