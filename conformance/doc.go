// Package conformance runs the OpenFeature evaluation suite against a live hoist with the stock Go OFREP provider: the
// feature files, the client and the provider were written by others, and the server is the real binary.
//
// Its invariant: every scenario of the feature files either runs or is excluded by name with a reason, and both
// together are as many as the suite says it has.
//
//	make conformance   # or: cd conformance && go test ./...
package conformance
