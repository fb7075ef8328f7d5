// A small service on the Go SDK; a module of its own, as yours will be.
module github.com/hoistflags/hoist/examples/go-service

go 1.26.0

require github.com/hoistflags/hoist v0.0.0

require (
	connectrpc.com/connect v1.21.1 // indirect
	github.com/Masterminds/semver/v3 v3.5.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/hoistflags/hoist => ../..
