#!/usr/bin/env bash
# Captures what a real BuildKit writes for one build, as type=s3 and as type=local, in all shapes. Both
# exports belong to one solve, so that the creation times are the same. Needs a running buildkitd with
# runc and an S3 server that keeps objects as files:
#
#   BUILDCTL='buildctl --addr unix:///run/buildkit.sock' ENDPOINT=http://127.0.0.1:7070 \
#   KEY=a SECRET=b BUCKET_DIR=/srv/s3/cache BUSYBOX=/bin/busybox ./capture.sh
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$BUSYBOX" "$work/busybox"
echo one >"$work/one"
echo two >"$work/two"
# COPY --link makes blobs that occur with several parents, COPY --from makes selectors.
cat >"$work/Dockerfile" <<'EOF'
FROM scratch AS base
COPY busybox /bin/sh
COPY busybox /bin/busybox
FROM base AS left
RUN busybox echo left > /left
RUN busybox echo more >> /left
FROM base AS right
COPY one /one
RUN busybox cat /one > /right
FROM scratch
COPY --link --from=left /left /a/left
COPY --link --from=right /right /b/right
COPY --link two /two
EOF
s3="type=s3,region=us-east-1,bucket=$(basename "$BUCKET_DIR"),endpoint_url=$ENDPOINT,use_path_style=true,access_key_id=$KEY,secret_access_key=$SECRET,mode=max,force-compression=true"
for compression in gzip zstd estargz uncompressed; do
  for shape in image=image-manifest=true index=image-manifest=false docker=image-manifest=false,oci-mediatypes=false; do
    name=$compression-${shape%%=*}
    rm -rf "$work/layout" && mkdir -p "$name"
    $BUILDCTL build --frontend dockerfile.v0 --local context="$work" --local dockerfile="$work" --progress plain \
      --export-cache "$s3,name=$name,compression=$compression" \
      --export-cache "type=local,dest=$work/layout,mode=max,force-compression=true,compression=$compression,${shape#*=}" >/dev/null 2>&1
    blob() { cp "$work/layout/blobs/sha256/$1" "$2"; }
    manifest=$(grep -o 'sha256:[0-9a-f]*' "$work/layout/index.json" | cut -d: -f2)
    config=$(grep -o '"application/vnd.buildkit.cacheconfig.v0","digest":"sha256:[0-9a-f]*' "$work/layout/blobs/sha256/$manifest" | grep -o '[0-9a-f]\{64\}')
    cp "$BUCKET_DIR/manifests/$name" "$name/s3.json"
    blob "$manifest" "$name/manifest.json"
    blob "$config" "$name/config.json"
  done
done
