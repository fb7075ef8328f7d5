// Command tables measures and writes the tables of docs/benchmarks.md: what stands between <!-- begin NAME --> and
// <!-- end NAME --> is replaced by what this machine gives now.
//
//	cd bench && go run ./tables -hoist ../bin/hoist -doc ../docs/benchmarks.md
//	cd bench && go run ./tables -hoist ../bin/hoist -doc ../docs/benchmarks.md -only evaluators,bulk
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// section is one table: how it is made.
type section struct {
	name string
	make func(hoist string) (string, error)
}

func sections() []section {
	return []section{
		{"machine", func(string) (string, error) { return machine() }},
		{"evaluators", func(string) (string, error) { return evaluators() }},
		{"ofrep", bench("ofrep", "--compare-baseline", "--rounds", "9", "--round", "1s")},
		{"rate", bench("ofrep", "--compare-baseline", "--rounds", "9", "--round", "1s", "--rate", "2000")},
		{"bulk", bench("bulk", "--compare-baseline", "--rounds", "9", "--round", "1s")},
		{"connect", bench("connect", "--compare-baseline", "--rounds", "9", "--round", "1s")},
		{"propagation", bench("propagation")},
		{"fanout", bench("fanout")},
		{"reconnect", bench("reconnect")},
		{"reconnectkilled", bench("reconnect", "--kill")},
	}
}

func main() {
	hoist := flag.String("hoist", "../bin/hoist", "the binary to measure")
	doc := flag.String("doc", "../docs/benchmarks.md", "the page to write")
	only := flag.String("only", "", "sections, separated by commas (default: all)")
	flag.Parse()
	if err := run(*hoist, *doc, *only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(hoist, doc, only string) error {
	page, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	for _, s := range sections() {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		fmt.Fprintln(os.Stderr, s.name, "…")
		text, err := s.make(hoist)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if page, err = replace(page, s.name, text); err != nil {
			return err
		}
		if err := os.WriteFile(doc, page, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// replace puts text between the marks of a section.
func replace(page []byte, name, text string) ([]byte, error) {
	begin, end := []byte("<!-- begin "+name+" -->\n"), []byte("<!-- end "+name+" -->")
	from, to := bytes.Index(page, begin), bytes.Index(page, end)
	if from < 0 || to < from {
		return nil, fmt.Errorf("the page has no place for %q", name)
	}
	return slices.Concat(page[:from+len(begin)], []byte(text), page[to:]), nil
}

// bench is the table that `hoist bench` prints, as Markdown, under its command.
func bench(args ...string) func(string) (string, error) {
	return func(hoist string) (string, error) {
		out, err := exec.Command(hoist, append([]string{"bench"}, args...)...).Output()
		if err != nil {
			return "", said(err)
		}
		return "```sh\nhoist bench " + strings.Join(args, " ") + "\n```\n\n" + markdown(string(out)), nil
	}
}

// said adds what a failed command wrote.
func said(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return err
}

// heading is the name of a column: words with single spaces between.
var heading = regexp.MustCompile(`\S+( \S+)*`)

// markdown turns columns of text, cut at where the header's columns begin, into a table. Columns are counted in characters.
func markdown(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	var starts []int
	for _, at := range heading.FindAllStringIndex(lines[0], -1) {
		starts = append(starts, utf8.RuneCountInString(lines[0][:at[0]]))
	}
	var b strings.Builder
	for i, line := range lines {
		row := []rune(line)
		var cells []string
		for j, from := range starts {
			to := len(row)
			if j+1 < len(starts) {
				to = min(to, starts[j+1])
			}
			cells = append(cells, strings.ToLower(strings.TrimSpace(string(row[min(from, to):to]))))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(starts)) + "|\n")
		}
	}
	return b.String()
}

// machine says where and when.
func machine() (string, error) {
	model := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(info); m != nil {
			model = string(m[1])
		}
	}
	load := ""
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", at a load of " + strings.Fields(string(text))[0]
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "github.com/launchdarkly/go-server-sdk-evaluation/v3",
		"github.com/growthbook/growthbook-golang").Output()
	if err != nil {
		return "", said(err)
	}
	return fmt.Sprintf("%s: %s, %d cores, %s, %s%s. Beside hoist: %s.\n", time.Now().Format(time.DateOnly), model, runtime.NumCPU(),
		runtime.GOOS, runtime.Version(), load, strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", ", ")), nil
}
