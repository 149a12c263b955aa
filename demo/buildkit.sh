# A BuildKit of its own, with runc: what `docker buildx create --driver docker-container` starts.

start_builder() {
  export BUILDKIT_HOST=unix://$work/buildkit.sock
  buildkitd --root "$work/builder" --addr "$BUILDKIT_HOST" --containerd-worker=false >"$work/builder.log" 2>&1 &
  builder=$!
  await_builder buildctl debug workers
}

# build OUT [to=DIR] [from=DIR] builds demo/Dockerfile into the folder OUT.
build() {
  local out=$1 cache=(); shift
  for c in "$@"; do
    case $c in
    to=*) cache+=(--export-cache "type=local,dest=${c#to=},mode=max,compression=zstd") ;;
    from=*) cache+=(--import-cache "type=local,src=${c#from=}") ;;
    esac
  done
  show buildctl build --frontend dockerfile.v0 --progress plain \
    --local context=demo/app --local dockerfile=demo \
    --opt context:go=local:go --local "go=$(go env GOROOT)" \
    --opt context:bin=local:bin --local "bin=$(dirname "$(command -v busybox)")" \
    --output "type=local,dest=$out" "${cache[@]}"
}
