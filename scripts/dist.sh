#!/usr/bin/env bash
# Builds omsync-<version>-linux-amd64.tar.gz, which unpacks over an OpenMLDB package. Usage: VERSION=1.2 scripts/dist.sh [directory]
set -euo pipefail
out=$(mkdir -p "${1:-build/dist}" && cd "${1:-build/dist}" && pwd)
cd "$(dirname "$0")/.."
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
name=omsync-$version-linux-amd64
tree=$out/$name
rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/conf" "$tree/docs"
trap 'rm -rf "$tree"' EXIT
CGO_ENABLED=0 GOOS=linux GOARCH=amd64 "${GO:-go}" build -trimpath -ldflags "-s -w -X omsync/daemon/process.release=$version" -o "$tree/bin/" \
	./cmd/data_collector ./cmd/synctool ./cmd/omsync-tui
install -m 755 bin/start.sh "$tree/bin/"
install -m 644 conf/data_collector.flags conf/synctool.properties "$tree/conf/"
cp -r docs systemd "$tree/"
install -m 644 CHANGELOG.md LICENSE "$tree/docs/"
# No directory around it, no owner of this machine: unpacked in the root of an OpenMLDB package it belongs to whoever unpacks.
tar -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner --mode=u+w,go-w -czf "$out/$name.tar.gz.new" bin conf docs systemd
mv "$out/$name.tar.gz.new" "$out/$name.tar.gz"
echo "$out/$name.tar.gz"
