package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func everyCommand(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, child := range c.Commands() {
		if child.Name() != "help" {
			everyCommand(child, visit)
		}
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	everyCommand((&app{stdout: io.Discard, stderr: io.Discard}).root(), func(c *cobra.Command) {
		require.NotEmpty(t, c.Short, c.CommandPath())
		require.NotEmpty(t, c.Example, c.CommandPath())
	})
}

// Every example of the help, the README and the manual must at least be a command line that hoist understands.
func TestEveryExampleIsACommandLineThatExists(t *testing.T) {
	var lines []string
	everyCommand((&app{stdout: io.Discard, stderr: io.Discard}).root(), func(c *cobra.Command) {
		lines = append(lines, strings.Split(c.Example, "\n")...)
	})
	for _, page := range []string{"../../README.md", "../../docs/cli.md", "../../docs/operations.md", "../../docs/http.md", "../../docs/audit.md", "../../docs/schedules.md", "../../docs/edge.md", "../../docs/benchmarks.md", "../../docs/promotions.md", "../../docs/security.md"} {
		data, err := os.ReadFile(page)
		require.NoError(t, err)
		lines = append(lines, shellLines(string(data))...)
	}
	found := 0
	for _, line := range lines {
		for _, args := range hoistCalls(line) {
			found++
			understood(t, line, args)
		}
	}
	require.Greater(t, found, 60)
}

var fence = regexp.MustCompile("(?s)```sh\n(.*?)```")

// shellLines are the lines of the shell blocks of a page.
func shellLines(page string) []string {
	var lines []string
	for _, block := range fence.FindAllStringSubmatch(page, -1) {
		lines = append(lines, strings.Split(strings.ReplaceAll(block[1], "\\\n", " "), "\n")...)
	}
	return lines
}

var redirection = regexp.MustCompile(`\d?>\s*\S+`)

// hoistCalls finds the calls of hoist in a line of shell; pipes and substitutions separate them.
func hoistCalls(line string) [][]string {
	line, _, _ = strings.Cut(line, "  #")
	line = redirection.ReplaceAllString(line, "")
	var calls [][]string
	for _, part := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("|;&()<>", r) }) {
		words := shellWords(part)
		for i, word := range words {
			if word == "hoist" || word == "bin/hoist" {
				calls = append(calls, words[i+1:])
				break
			}
			if !strings.Contains(word, "=") {
				break // something else runs here, hoist may only be its argument
			}
		}
	}
	return calls
}

var word = regexp.MustCompile(`(?:[^\s"']|"[^"]*"|'[^']*')+`)

func shellWords(text string) []string {
	words := word.FindAllString(text, -1)
	for i := range words {
		words[i] = strings.NewReplacer(`"`, "", `'`, "").Replace(words[i])
	}
	return words
}

// understood parses the call as cobra would, without running it.
func understood(t *testing.T, line string, args []string) {
	t.Helper()
	root := (&app{stdout: io.Discard, stderr: io.Discard}).root()
	command, rest, err := root.Find(args)
	require.NoError(t, err, line)
	require.NoError(t, command.ParseFlags(rest), line)
	if help, err := command.Flags().GetBool("help"); err == nil && help || command == root && len(args) == 0 {
		return
	}
	require.NoError(t, command.ValidateArgs(command.Flags().Args()), line)
	require.True(t, command.HasParent() || len(args) > 0, line)
	require.False(t, command.HasSubCommands() && len(command.Flags().Args()) > 0, "%s: %q is no command", line, command.Flags().Args())
}

func TestWrongUsageSaysWhatToTry(t *testing.T) {
	alone(t)
	refuses(t, exitUsage, "try: hoist flag list", "flag", "lst")
	refuses(t, exitUsage, "try: hoist flag", "frag")
	refuses(t, exitUsage, "KEY is missing", "flag", "get")
	refuses(t, exitUsage, "one argument too many", "flag", "get", "a", "b")
	refuses(t, exitUsage, "unknown flag", "flag", "get", "a", "--nope")
	refuses(t, exitUsage, "--revision is missing", "flag", "restore", "a")
	refuses(t, exitUsage, "-c x", "eval", "a", "-c", "x")
	require.Contains(t, does(t, "version"), "hoist "+version)
	require.Contains(t, does(t, "completion", "bash"), "__start_hoist")
}
