// The OpenFeature provider. A module of its own, so that the OpenFeature SDK never becomes a dependency of hoist.
module github.com/hoistflags/hoist/transport/openfeature

go 1.26.0

require (
	github.com/hoistflags/hoist v0.0.0
	github.com/open-feature/go-sdk v1.17.0
	github.com/stretchr/testify v1.12.1
)

require (
	connectrpc.com/connect v1.21.1 // indirect
	github.com/Masterminds/semver/v3 v3.5.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	github.com/go-logr/logr v1.4.3 // indirect
	go.uber.org/mock v0.6.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/hoistflags/hoist => ../..
