package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/fsm"
)

// Set by the linker; a plain `go build` leaves what stands here.
var (
	version = "dev"
	commit  = "unknown"
)

func (a *app) healthCommand() *cobra.Command {
	var current, wait bool
	c := &cobra.Command{
		Use: "health", Short: "Ask a node whether it has data and serves",
		Long: `Ask a node whether it has data and serves; exit code 0 means ready, 1 not ready, 9 unreachable. Ready does not depend on a leader:
a node without a quorum answers evaluations. --current also asks whether it is caught up, for which it must hear a leader.`,
		Example: "  hoist health\n  hoist health --current --wait --timeout 30s\n  hoist health --addr 10.0.0.2:7700", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			path := "/readyz?verbose"
			if current {
				path += "&current"
			}
			report, err := askReady(ctx, n, path)
			for wait && err != nil {
				if !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
					return &failure{code: exitTimeout, message: "gave up waiting: " + err.Error(), try: "a longer --timeout, or hoist cluster status"}
				}
				report, err = askReady(ctx, n, path)
			}
			if report != "" {
				fmt.Fprintln(a.stdout, report)
			}
			return err
		},
	}
	c.Flags().BoolVar(&current, "current", false, "also ask whether it has everything the leader has")
	c.Flags().BoolVar(&wait, "wait", false, "keep asking until it is so, or --timeout is over")
	return a.remote(c)
}

// askReady returns the node's own report, and an error when it is not ready.
func askReady(ctx context.Context, n *node, path string) (string, error) {
	response, err := n.get(ctx, path)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // everything of it has been read
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("reading the answer of %s: %w", n.addr, err)
	}
	report := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		return report, failed("hoist cluster status", "%s is not ready (HTTP %d)", n.addr, response.StatusCode)
	}
	return report, nil
}

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Print the version of this binary", Example: "  hoist version -o json", Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			if a.output == "table" {
				fmt.Fprintf(a.stdout, "hoist %s (commit %s, %s, %s/%s, law %d)\n",
					version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, fsm.LawVersion)
				return nil
			}
			return a.showJSON(struct {
				Version string `json:"version"`
				Commit  string `json:"commit"`
				Go      string `json:"go"`
				Law     int    `json:"law"`
			}{version, commit, runtime.Version(), fsm.LawVersion})
		},
	}
	return a.printing(c, "table", "json", "yaml")
}
