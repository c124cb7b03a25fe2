#!/usr/bin/env bash
# Regenerates the Go code of every .proto file (protoc from Debian's protobuf-compiler; the plugins are pinned in go.mod's tool block).
set -euo pipefail
cd "$(dirname "$0")/.."
command -v protoc >/dev/null || { echo "genproto: protoc is missing: apt-get install protobuf-compiler" >&2; exit 1; }
mkdir -p build/bin
go build -o build/bin/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
go build -o build/bin/protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc
export PATH="$PWD/build/bin:$PATH"
pb=omsync/openmldb/pb
maps=("type.proto=$pb/typepb" "common.proto=$pb/commonpb" "tablet.proto=$pb/apipb" "name_server.proto=$pb/nspb" "data_sync.proto=$pb/datasyncpb")
opts=()
for m in "${maps[@]}"; do opts+=("--go_opt=M$m" "--go-grpc_opt=M$m"); done
protoc -I openmldb/pb/proto --go_out=. --go_opt=module=omsync --go-grpc_out=. --go-grpc_opt=module=omsync "${opts[@]}" openmldb/pb/proto/*.proto
protoc -I rpc/proto --go_out=. --go_opt=module=omsync --go_opt=Mbaidu_rpc_meta.proto=omsync/rpc/baidustd/metapb rpc/proto/baidu_rpc_meta.proto
protoc -I rpc/proto --go_out=. --go_opt=module=omsync --go-grpc_out=. --go-grpc_opt=module=omsync rpc/proto/omsync/v1/*.proto
