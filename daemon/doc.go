// Package daemon is one running mount. It composes the parts (bucket, disk, index, engine, file system),
// answers signals and the control socket, drains, and ends; and it is the other side of that socket, for
// the commands that talk to a running mount.
//
// The way of a mount: a Config is validated; Start (compose.go) checks the mountpoint and the bucket,
// locks the cache directory, opens the index, starts the engine, mounts, and only then is anything
// visible; Serve (serve.go) waits for a reason to end, drains and takes it all down. Detach (detach.go)
// has another process do both. A Client (client.go) asks a running one.
//
// Invariants: whatever can fail is tried before anything is mounted, each with an error for the person
// at the terminal. What is staged when a mount ends stays in the cache directory, and is told. No secret
// is printed, logged, put into an argument list, or sent over the control socket.
//
// There is one lock, the file lock of a mountpoint's entry in the runtime directory; it is taken before
// that of the cache directory, and released after it.
package daemon
