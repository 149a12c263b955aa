#!/usr/bin/env bash
# The main job, for real: a build's cache goes through a mount into a bucket, the machine is lost, and
# another machine imports it. `make demo` builds what this needs and runs it, as root.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/bin:$PWD/.tools:$PATH"

work=$(mktemp -d /tmp/layoutfs-demo-XXXXXX)
export LAYOUTFS_RUNTIME_DIR=$work/run BUILDKIT_HOST=unix://$work/buildkit.sock
pids=()
buildkit=

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

finish() {
  for m in "$work"/machine-*/cache; do
    mountpoint -q "$m" && layoutfs umount --force "$m"
  done
  [ -z "$buildkit" ] || { kill "$buildkit" && wait "$buildkit"; } 2>/dev/null || true
  for p in "${pids[@]}"; do { kill "$p" && wait "$p"; } 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

# start_builder starts a BuildKit that knows nothing.
start_builder() {
  buildkitd --root "$work/builder" --addr "$BUILDKIT_HOST" --containerd-worker=false >"$work/buildkitd.log" 2>&1 &
  buildkit=$!
  until buildctl debug workers >/dev/null 2>&1; do
    kill -0 "$buildkit" 2>/dev/null || { cat "$work/buildkitd.log" >&2; exit 1; }
    sleep 0.2
  done
}

# build OUT ARGS... builds demo/Dockerfile into a folder.
build() {
  local out=$1; shift
  buildctl build --frontend dockerfile.v0 --progress plain \
    --local context=demo/app --local dockerfile=demo \
    --opt context:go=local:go --local "go=$(go env GOROOT)" \
    --opt context:bin=local:bin --local "bin=$(dirname "$(command -v busybox)")" \
    --output "type=local,dest=$out" "$@" 2>&1
}

# lines shows what a person wants to see of a build: its steps, and which of them came from the cache.
lines() { grep -E '^#[0-9]+ (\[|CACHED|exporting cache|importing cache)' "$1" | grep -v -E 'internal|\[context' | sed 's/^/   /'; }

# steps lists the steps of a build that are lines of the Dockerfile, by their numbers.
steps() { grep -E '^#[0-9]+ \[' "$1" | grep -v -E 'internal|\[context' | cut -d' ' -f1 | sort -u; }

seconds() { date +%s.%N; }
took() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f s", b - a }'; }

say "An S3 server on a local folder"
layoutfs s3 --data "$work/bucket" --addr 127.0.0.1:0 >"$work/s3.log" 2>&1 &
pids+=($!)
until s3=$(awk '/--s3 /{print $2}' "$work/s3.log") && [ -n "$s3" ]; do sleep 0.1; done
sed -n '1,2p' "$work/s3.log"

say "Machine A: mount the bucket, and build with a cache in the mount"
a=$work/machine-a/cache && mkdir -p "$a"
layoutfs mount --s3 "$s3" --cache-dir "$work/machine-a/disk" -d "$a"
start_builder
since=$(seconds)
build "$work/out-a" --export-cache "type=local,dest=$a/hello,mode=max,compression=zstd" >"$work/build-a.log" || { cat "$work/build-a.log"; exit 1; }
lines "$work/build-a.log"
first=$(took "$since")
layoutfs status --format '   uploaded {{.Counters.UploadedBlobs}} blobs, {{size .Counters.UploadedBytes}}; names published: {{.Counters.Published}}' "$a"

say "Machine A is lost: its builder, its local disk, its mount"
layoutfs umount "$a"
kill "$buildkit" && wait "$buildkit" 2>/dev/null || true
rm -rf "$work/builder" "$work/machine-a"
echo "   what is left is the bucket: $(find "$work/bucket/buckets" -type f | wc -l) objects, $(du -sh "$work/bucket/buckets" | cut -f1)"

say "Machine B: an empty disk, an empty builder, the same bucket"
b=$work/machine-b/cache && mkdir -p "$b"
layoutfs mount --s3 "$s3" --cache-dir "$work/machine-b/disk" -d "$b"
start_builder
since=$(seconds)
build "$work/out-b" --import-cache "type=local,src=$b/hello" >"$work/build-b.log" || { cat "$work/build-b.log"; exit 1; }
second=$(took "$since")
lines "$work/build-b.log"

all=0 missed=0
for step in $(steps "$work/build-b.log"); do
  all=$((all + 1))
  grep -q "^$step CACHED" "$work/build-b.log" || { missed=$((missed + 1)); echo "   not cached: $(grep -m1 "^$step \[" "$work/build-b.log")"; }
done
cmp "$work/out-a/hello" "$work/out-b/hello"

say "Result"
echo "   machine A built everything in $first, machine B in $second"
echo "   of $all steps on machine B, $((all - missed)) were CACHED; the program is the same, and says: $("$work/out-b/hello")"
layoutfs status --format '   fetched {{size .Counters.FetchedBytes}} in {{.Counters.Requests}} requests: only the layers that this build reads' "$b"
layoutfs umount "$b"
[ "$all" -gt 0 ] && [ "$missed" = 0 ]
