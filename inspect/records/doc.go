// Package records understands the records of BuildKit's cache: what a step is recognised by, how records
// chain, which of them another cache has too, and where a build left a cache.
//
// What a record holds (cache/remotecache/v1 and solver/exporter.go of BuildKit): the digest of an operation
// at one of its outputs; for each of its inputs the records that this input may be, any of which will do,
// with a selector where only some paths of the input count; and a chain of layers as its result, if one was
// exported. A record without inputs is a source (an image, a commit, a URL) or the content of files: of what
// a COPY takes from the build context there is nothing but such a content.
//
// What it does not hold: the command, the line of the Dockerfile, the paths of files, the arguments. All of
// them are in the digests, which cannot be read backwards. What one digest was made of is known to a
// buildkitd that was started with --save-cache-debug, while a selector of a few paths can be found by trying.
// So what kind of operation a record is, is a guess from its shape, and is said to be one.
//
// A config is taken as it comes from a bucket that anybody may have written: what BuildKit refuses is an
// error here, and memory is a multiple of the config's size. There are no locks.
package records
