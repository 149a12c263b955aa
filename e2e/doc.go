// Package e2e tests layoutfs with the programs that people use it with, unmodified: a real BuildKit with
// runc, docker buildx, OCI clients, containerd's content store, and S3 servers over a socket. It is a
// module of its own so that what these tests need stays out of the product's go.sum.
//
// main_test.go builds the program under test (with the race detector) and ends what all tests share;
// host_test.go is a machine with a mount, builder_test.go a BuildKit, server_test.go an S3 server,
// context_test.go what is built, synthetic_test.go a cache that nobody built, and plain_test.go an S3 client
// that shares no code with ours. The tests want root, and the tools that `make tools` puts into .tools.
//
// LAYOUTFS_E2E_LONG=1 asks for the long form of tests that have one, LAYOUTFS_CRASH_ROUNDS for that many
// kills of each kind, LAYOUTFS_CRASH_SEED for the same ones again.
package e2e
