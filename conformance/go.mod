// The OpenFeature conformance suite, run against a live server by a stock client. A module of its own, so that the
// OpenFeature SDK never becomes a dependency of hoist.
module github.com/hoistflags/hoist/conformance

go 1.26.0

require (
	github.com/cucumber/godog v0.15.1
	github.com/open-feature/go-sdk v1.17.0
	github.com/open-feature/go-sdk-contrib/providers/ofrep v0.1.7
	github.com/stretchr/testify v1.12.1
)

require (
	connectrpc.com/connect v1.21.1 // indirect
	github.com/Masterminds/semver/v3 v3.5.0 // indirect
	github.com/cucumber/gherkin/go/v26 v26.2.0 // indirect
	github.com/cucumber/messages/go/v21 v21.0.1 // indirect
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3 // indirect
	github.com/go-logr/logr v1.4.3 // indirect
	github.com/gofrs/uuid v4.4.0+incompatible // indirect
	github.com/hashicorp/go-immutable-radix v1.3.1 // indirect
	github.com/hashicorp/go-memdb v1.3.4 // indirect
	github.com/hashicorp/golang-lru v1.0.2 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	go.uber.org/mock v0.6.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

require (
	github.com/hoistflags/hoist v0.0.0
	github.com/hoistflags/hoist/transport/openfeature v0.0.0
)

replace (
	github.com/hoistflags/hoist => ../
	github.com/hoistflags/hoist/transport/openfeature => ../transport/openfeature
)
