# A Docker Engine with its default driver, which knows no type=s3. It gets no network: nothing here needs
# one, and it must not touch that of the machine.

start_builder() {
  export DOCKER_HOST=unix://$work/docker.sock BUILDX_CONFIG=$work/buildx
  dockerd --data-root "$work/builder" --exec-root "$work/exec" --pidfile "$work/docker.pid" -H "$DOCKER_HOST" \
    --config-file /dev/null --bridge=none --iptables=false --ip6tables=false --userland-proxy=false >"$work/builder.log" 2>&1 &
  builder=$!
  await_builder buildx inspect --bootstrap default
  echo "   with type=s3 it says: $(buildx build --cache-to type=s3,region=us-east-1,bucket=any demo/app -f demo/Dockerfile 2>&1 | grep -o 'unknown cache exporter.*')"
}

# build OUT [to=DIR] [from=DIR] builds demo/Dockerfile into the folder OUT.
build() {
  local out=$1 cache=(); shift
  for c in "$@"; do
    case $c in
    to=*) cache+=(--cache-to "type=local,dest=${c#to=},mode=max,compression=zstd") ;;
    from=*) cache+=(--cache-from "type=local,src=${c#from=}") ;;
    esac
  done
  show buildx build --progress plain --network none -f demo/Dockerfile demo/app \
    --build-context "go=$(go env GOROOT)" --build-context "bin=$(dirname "$(command -v busybox)")" \
    --output "type=local,dest=$out" "${cache[@]}"
}
