#!/usr/bin/env bash
# All tests, from installing what is missing to the last one, with the time of each part. Usage: scripts/test.sh [part...]
# Parts: setup lint unit models zookeeper e2e (all, in this order, without arguments).
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
times=()

part() { # part <name> <command...>
	local name=$1 from=$SECONDS
	shift
	echo "== $name"
	"$@"
	times+=("$(printf '%-10s %4d s' "$name" $((SECONDS - from)))")
}

# No cgo: what users build. Then what the tests build.
lint() {
	local dirty
	dirty=$(git ls-files -z -co --exclude-standard '*.go' | xargs -0 gofmt -l)
	if [ -n "$dirty" ]; then
		echo "gofmt these: $dirty" >&2
		return 1
	fi
	shellcheck bin/start.sh scripts/*.sh .ci/run
	CGO_ENABLED=0 go build ./...
	CGO_ENABLED=0 go vet ./...
	go vet -tags "$tags,e2e" ./...
	go tool staticcheck -tags "$tags,e2e" ./...
}

tags=rocksdb,python
unit() { go test -race -tags "$tags" ./...; }

# The models in full: the race detector allows for a part of their histories only.
models() { go test -run 'Model|Histories' ./daemon/synctool ./daemon/collector/handoff; }

# The same tests of everything that talks to ZooKeeper, on a real one.
zookeeper() {
	go test -race -tags "$tags,zookeeper" ./openmldb/zkconn/... ./openmldb/catalog/... ./daemon/coord/... ./testenv/zkserver/... ./testenv/cluster/...
}

# Most of the time they wait for processes: more of them at once than there are cores.
e2e() { go test -race -parallel 4 -timeout 20m -tags "$tags,zookeeper,e2e" ./testenv/e2e/... ./testenv/cmd/demo/...; }

all=(setup lint unit models zookeeper e2e)
[ $# -gt 0 ] && all=("$@")
for p in "${all[@]}"; do
	case $p in
	setup) part setup scripts/setup.sh ;;
	lint | unit | models | zookeeper | e2e) part "$p" "$p" ;;
	*)
		echo "scripts/test.sh: no part $p: setup lint unit models zookeeper e2e" >&2
		exit 2
		;;
	esac
done
echo "== times"
printf '%s\n' "${times[@]}" "$(printf '%-10s %4d s' all $((SECONDS - began)))"
