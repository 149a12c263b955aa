package buckettest

import (
	"testing"

	"github.com/layoutfs/layoutfs/sync/bucket"
)

// Suite is what the client promises on every server: it assumes nothing that S3 servers do not have in
// common. A server need not hold both the names a and a/b, keep fractions of seconds, or check the bytes of
// an upload against their hash. fresh gives the configuration of an empty bucket; it is called once for each
// test, and tests run side by side.
func Suite(t *testing.T, fresh func(t testing.TB) bucket.Config) {
	tests := []struct {
		name string
		run  func(t *testing.T, c bucket.Config)
	}{
		{"check", testCheck},
		{"blob is read as it was written", testBlobRoundTrip},
		{"ranges", testRanges},
		{"blob that is not there", testNoBlob},
		{"blob is written again", testWrittenAgain},
		{"blob of another algorithm", testOtherAlgorithm},
		{"keys are those of type=s3", testKeys},
		{"prefix with odd characters", testOddPrefix},
		{"touch", testTouch},
		{"unfinished upload is dropped", testUnfinished},
		{"upload begins while the blob is written", testAhead},
		{"what is written again is sent again", testAheadRewritten},
		{"what is not written on is dropped", testAheadGivenUp},
		{"listing has pages", testPages},
		{"listing passes over odd keys", testOddKeys},
		{"listing has odd pages", testOddPages},
		{"cancelled requests", testCancelled},
		{"name is read as it was written", testNameRoundTrip},
		{"metadata is filled up", testFullMetadata},
		{"name is overwritten without a descriptor", testNameOverwritten},
		{"versions agree", testVersions},
		{"names with odd characters", testOddNames},
		{"names by prefix", testNamesByPrefix},
		{"names beneath names", testNamesBeneathNames},
		{"name that is not there", testNoName},
		{"names are deleted", testDeleteName},
		{"blobs are deleted", testDeleteBlob},
		{"unfinished uploads are listed", testListUploads},
		{"blobs are copied within the server", testCopyBlob},
		{"pins", testPins},
		{"permissions", testPermissions},
		{"bucket that is not there", testNoBucket},
		{"secret that is wrong", testWrongSecret},
		{"key that nobody has", testUnknownKey},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.run(t, fresh(t))
		})
	}
}

func testCheck(t *testing.T, c bucket.Config) {
	if err := OpenWith(t, c, bucket.Options{}).Check(t.Context()); err != nil {
		t.Errorf("Check of a good bucket: %v", err)
	}
}
