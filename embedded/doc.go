// Package embedded serves a real S3 API from a local folder: versitygw's posix backend, for a mount that
// has no bucket and no account, for the demonstration and for tests.
//
// The server is a child process: this very program, started again, which ends when its parent does, kill
// -9 included (a pipe between them closes). versitygw wants a process of its own: it changes the working
// directory, writes to the standard streams, and keeps state of which there can be one in a process. So
// any number of servers may run, and none disturbs its parent. A program that calls Start must call
// RunIfChild first thing in main (in tests, importing sync/bucket/buckettest does it).
//
// The folder can be moved and copied while nothing serves it; all within is relative:
//
//	buckets/BUCKET/KEY!        the objects, as plain files; a folder made by hand is a bucket
//	buckets/BUCKET/.sgwtmp/    uploads in parts that are under way
//	meta/                      metadata of objects, only if the file system has no extended attributes
//	credentials.json           the keys, readable by the owner only
//	lock                       one server per folder
//
// Keys are paths. The mark at the end of an object's file tells it from a folder, so that the objects "a"
// and "a/b" can both exist; with versitygw itself they cannot.
package embedded
