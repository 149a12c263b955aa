#!/usr/bin/env bash
# Captures what a real BuildKit makes of small builds: caches in every compression, an image, the configs of
# builds of which one line or one file was changed, and their logs. Needs a running buildkitd with runc, gcc,
# and skopeo:
#
#   BUILDCTL='buildctl --addr unix:///run/buildkit.sock' ./capture.sh
#
# Started with --save-cache-debug and --debugaddr (DEBUG=http://127.0.0.1:6060), it also tells what the
# digests of the records were made of.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -Os -static -nostdlib -ffreestanding -fno-builtin -fno-stack-protector -fno-tree-loop-distribute-patterns \
  -Wl,--build-id=none,-z,noseparate-code -s -o "$work/do" do.c

context() { # FOLDER: the build that all others are variants of
  mkdir -p "$1/dir"
  cp "$work/do" "$1/do"
  for f in one two three; do echo "$f" >"$1/$f"; done
  echo a >"$1/dir/a"
  echo b >"$1/dir/b"
  head -c 70000 /dev/zero | tr '\0' x >"$1/large"
  cat >"$1/Dockerfile" <<'DOCKERFILE'
FROM scratch AS base
COPY do /bin/do
COPY one two /data/
COPY dir /dir
FROM base AS left
RUN ["/bin/do", "write", "/left", "left", "rm", "/data/one", "-"]
RUN ["/bin/do", "rm", "/dir/a", "-", "rm", "/dir/b", "-", "rmdir", "/dir", "-", "mkdir", "/dir", "-", "write", "/dir/new", "new"]
FROM base AS right
COPY three large /data/
RUN ["/bin/do", "ln", "/data/three", "/data/hard", "symlink", "three", "/data/soft"]
FROM left
COPY --link --from=left /left /a/left
COPY --from=right /data /b
RUN ["/bin/do", "write", "/result", "done"]
DOCKERFILE
}

build() { # CONTEXT LOG ARGS...
  local context=$1 log=$2
  shift 2
  $BUILDCTL build --frontend dockerfile.v0 --local context="$context" --local dockerfile="$context" "$@" 2>"$log"
}

digest_in() { grep -o 'sha256:[0-9a-f]*' | head -n 1 | cut -d: -f2; }

config_of() { # LAYOUT: the cache config in it
  local manifest
  manifest=$(digest_in <"$1/index.json")
  cat "$1/blobs/sha256/$(grep -o '"application/vnd.buildkit.cacheconfig.v0","digest":"sha256:[0-9a-f]*' "$1/blobs/sha256/$manifest" | digest_in)"
}

context "$work/base"
rm -rf layouts why
mkdir -p layouts why
for compression in gzip zstd estargz uncompressed; do
  build "$work/base" "$work/log" --progress plain \
    --export-cache "type=local,dest=layouts/$compression,mode=max,image-manifest=true,force-compression=true,compression=$compression"
done
build "$work/base" "$work/log" --output type=oci,tar=false,name=example.com/app:v1,dest=layouts/image
skopeo copy -q --dest-compress-format zstd:chunked "oci:layouts/image:v1" "oci:layouts/zstd-chunked:v1"
rm -rf layouts/*/ingest layouts/*/index.json.lock

# One line or one file changed, built by a builder that has nothing but the cache.
for change in run file first destination; do context "$work/$change"; done
sed -i 's/"left", "rm"/"LEFT", "rm"/' "$work/run/Dockerfile"
echo THREE >"$work/file/three"
echo ONE >"$work/first/one"
sed -i 's,COPY three large /data/,COPY three large /other/,; s,/data/three,/other/three,' "$work/destination/Dockerfile"
config_of layouts/gzip >why/base.json
for change in run file first destination; do
  for progress in plain rawjson; do
    $BUILDCTL prune --all >/dev/null
    rm -rf "$work/cache"
    build "$work/$change" "$work/log" --progress "$progress" --import-cache "type=local,src=layouts/gzip" \
      --export-cache "type=local,dest=$work/cache,mode=max"
    grep -v '^time=' "$work/log" >"why/$change.$progress"
  done
  config_of "$work/cache" >"why/$change.json"
done
if [ -n "${DEBUG:-}" ]; then
  curl -sS -H 'Accept: application/json' --data-binary @why/run.json "$DEBUG/debug/cache/load" >why/run.debug.json
fi
