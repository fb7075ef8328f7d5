// Command hoist is feature flags in one binary with Raft inside: the server, the tools that
// talk to it, and a demo that kills leaders.
//
// Everything below main is reachable through run, which tests call with arguments and buffers:
//
//	var stdout, stderr bytes.Buffer
//	code := run(ctx, []string{"flag", "list", "-o", "name"}, &stdout, &stderr)
//
// Its invariant: data goes to stdout, talk to stderr, and the exit code says what happened (see failure.go).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, as everybody expects who presses Ctrl-C twice.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
