package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"
)

// shrinkTime bounds the search for the shortest prefix of a history that still shows a violation.
const shrinkTime = 20 * time.Second

// Store writes everything that is known of a failed run into a directory: report.txt to read first, the whole history,
// its shortest prefix that still shows the first violation, the log and the nodes' hashes.
func (r *Report) Store(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	prefix := r.Evidence
	if len(r.Violations) > 0 {
		prefix = Prefix(r.Evidence, r.Violations[0], time.Now().Add(shrinkTime))
	}
	for name, write := range map[string]func(f *os.File) error{
		"report.txt":     func(f *os.File) error { _, err := f.WriteString(r.text(prefix)); return err },
		"history.jsonl":  func(f *os.File) error { return r.Evidence.History.Write(f) },
		"prefix.jsonl":   func(f *os.File) error { return prefix.History.Write(f) },
		"log.jsonl":      func(f *os.File) error { return writeLines(f, r.Evidence.Dump.Entries) },
		"nodes.jsonl":    func(f *os.File) error { return writeLines(f, r.Evidence.Dump.Nodes) },
		"goroutines.txt": func(f *os.File) error { return pprof.Lookup("goroutine").WriteTo(f, 2) },
	} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		err = write(f)
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func writeLines[T any](f *os.File, list []T) error {
	e := json.NewEncoder(f)
	for _, x := range list {
		if err := e.Encode(x); err != nil {
			return err
		}
	}
	return nil
}

// text is the report for people.
func (r *Report) text(prefix Evidence) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nrepeat it: %s\n\n", r, r.Trial.Command())
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "%10s  %s\n", time.Duration(v.At).Round(time.Millisecond), v)
	}
	fmt.Fprintf(&b, "\nthe first of them shows after %d operations and %d log entries (prefix.jsonl); %d and %d in all\n\n",
		len(prefix.History.Ops()), len(prefix.Dump.Entries), len(r.Evidence.History.Ops()), len(r.Evidence.Dump.Entries))
	for _, m := range r.Evidence.History.Marks() {
		fmt.Fprintf(&b, "%10s  %s %s %s\n", time.Duration(m.At).Round(time.Millisecond), m.What, m.Node, m.Text)
	}
	return b.String()
}
