#!/usr/bin/env bash
# The main job, for real: a build's cache goes through a mount into a bucket, the machine is lost, and
# another machine imports it. `make demo` (BuildKit) and `make demo-docker` (a Docker Engine) build what
# this needs and run it, as root.
set -euo pipefail
engine=${1:-buildkit}
cd "$(dirname "$0")/.."
export PATH="$PWD/bin:$PWD/.tools:$PATH"

work=$(mktemp -d /tmp/layoutfs-demo-XXXXXX)
export LAYOUTFS_RUNTIME_DIR=$work/run
server='' builder=''

say() { printf '\n== %s\n' "$*"; }

# show runs a command, and says which.
show() {
  printf '   $ %s\n' "$*" >&2
  "$@" 2>&1
}

# await_builder COMMAND... returns when the builder that was started answers.
await_builder() {
  until "$@" >/dev/null 2>&1; do
    kill -0 "$builder" 2>/dev/null || { cat "$work/builder.log" >&2; exit 1; }
    sleep 0.2
  done
}

stop() { [ -z "$1" ] || { kill "$1" && wait "$1"; } 2>/dev/null || true; }

finish() {
  trap '' INT TERM # make sends a second one
  for m in "$work"/machine-*/cache; do
    ! mountpoint -q "$m" || layoutfs umount --force "$m"
  done
  stop "$builder"
  stop "$server"
  rm -rf "$work"
}
trap finish EXIT

# shellcheck source=/dev/null
source "demo/$engine.sh"

# timed LOG BUILD... keeps what a build prints, shows its steps, and sets took; all that it says is shown when it fails.
timed() {
  local log=$1 since
  since=$(date +%s.%N)
  shift
  "$@" | tee "$log" | lines || { cat "$log"; exit 1; }
  took=$(awk -v a="$since" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f s", b - a }')
}

# lines shows what a person wants to see of a build: its steps, and which of them came from the cache.
lines() { grep -E --line-buffered '^#[0-9]+ (\[|CACHED|exporting cache|importing cache)' | grep -v -E --line-buffered 'internal|\[context' | sed -u 's/^/   /'; }

# steps lists the steps of a build that are lines of the Dockerfile, by their numbers.
steps() { grep -E '^#[0-9]+ \[' "$1" | grep -v -E 'internal|\[context' | cut -d' ' -f1 | sort -u; }

say "An S3 server on a local folder"
layoutfs s3 --data "$work/bucket" --addr 127.0.0.1:0 >"$work/s3.log" 2>&1 &
server=$!
until s3=$(awk '/--s3 /{print $2}' "$work/s3.log") && [ -n "$s3" ]; do sleep 0.1; done
sed -n '1,2p' "$work/s3.log" | sed 's/^/   /'

say "Machine A: mount the bucket, and build with a cache in the mount"
a=$work/machine-a/cache && mkdir -p "$a"
layoutfs mount --s3 "$s3" --cache-dir "$work/machine-a/disk" -d "$a" | sed 's/^/   /'
start_builder
timed "$work/build-a.log" build "$work/out-a" to="$a/hello"
first=$took
layoutfs status --format '   uploaded {{.Counters.UploadedBlobs}} blobs, {{size .Counters.UploadedBytes}}; names published: {{.Counters.Published}}' "$a"

say "Machine A is lost: its builder, its local disk, its mount"
layoutfs umount "$a"
stop "$builder"
rm -rf "$work/builder" "$work/machine-a"
echo "   what is left is the bucket: $(find "$work/bucket/buckets" -type f | wc -l) objects, $(du -sh "$work/bucket/buckets" | cut -f1)"

say "Machine B: an empty disk, an empty builder, the same bucket"
b=$work/machine-b/cache && mkdir -p "$b"
layoutfs mount --s3 "$s3" --cache-dir "$work/machine-b/disk" -d "$b" | sed 's/^/   /'
start_builder
timed "$work/build-b.log" build "$work/out-b" from="$b/hello"

say "Result"
all=0 missed=0
for step in $(steps "$work/build-b.log"); do
  all=$((all + 1))
  grep -q "^$step CACHED" "$work/build-b.log" || { missed=$((missed + 1)); echo "   not cached: $(grep -m1 "^$step \[" "$work/build-b.log")"; }
done
cmp "$work/out-a/hello" "$work/out-b/hello"
echo "   machine A built everything in $first, machine B in $took"
echo "   of $all steps on machine B, $((all - missed)) were CACHED; the program is the same, and says: $("$work/out-b/hello")"
layoutfs status --format '   fetched {{size .Counters.FetchedBytes}} in {{.Counters.Requests}} requests: only the layers that this build reads' "$b"
layoutfs umount "$b"
[ "$all" -gt 0 ] && [ "$missed" = 0 ]
