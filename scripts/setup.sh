#!/usr/bin/env bash
# Installs what the tests need and is not there yet: Debian packages (apt-get; needs root, and says which), the jars of a real ZooKeeper (Maven)
# and CSV readers (PyPI, in build/venv). What is there is left alone. Usage: scripts/setup.sh
set -euo pipefail
cd "$(dirname "$0")/.."

need=()
want() { # want <package> <test command...>
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || need+=("$package")
}
have_header() { echo "#include <$1>" | cc -E - ; }
want gcc cc --version
want libc6-dev have_header stdlib.h
want librocksdb-dev have_header rocksdb/c.h
want libsnappy-dev have_header snappy-c.h
want liblz4-dev have_header lz4.h
want libzstd-dev have_header zstd.h
want zlib1g-dev have_header zlib.h
want libbz2-dev have_header bzlib.h
want shellcheck shellcheck --version
want default-jre-headless java -version
want python3-venv python3 -c 'import venv, ensurepip'
jars=build/zk-jars
if ! compgen -G "$jars/zookeeper-*.jar" >/dev/null; then
	want maven mvn -v
fi
if [ ${#need[@]} -gt 0 ]; then
	echo "set-up: missing packages: ${need[*]}"
	sudo=
	if [ "$(id -u)" != 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "set-up: installing them needs root: run  apt-get install ${need[*]}  as root, then this again" >&2
			exit 1
		fi
		sudo=sudo
	fi
	$sudo apt-get update -qq || echo "set-up: apt-get update failed, trying with the lists that are there" >&2
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
if ! compgen -G "$jars/zookeeper-*.jar" >/dev/null; then
	echo "set-up: ZooKeeper, from Maven"
	mvn -q -B -f testenv/zkserver/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$PWD/$jars"
fi
if ! build/venv/bin/python -c 'import duckdb, pyarrow, requests' >/dev/null 2>&1; then
	echo "set-up: duckdb, pyarrow and requests, from PyPI"
	python3 -m venv build/venv
	build/venv/bin/pip install -q --disable-pip-version-check -r scripts/requirements.txt
fi
echo "set-up: Go modules"
go mod download
