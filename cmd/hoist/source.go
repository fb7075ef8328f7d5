package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
	"github.com/hoistflags/hoist/fsm/manifest/cloudbees"
)

// source is what the commands that read files are told about them.
type source struct {
	path, format string
	skipInvalid  bool
	attributes   []string
	hash         string
	known        func() (fsm.Content, error) // what one file may refer to; nil: nothing is known
}

// The forms in which flags come.
const (
	formatHoist     = "hoist"
	formatCloudBees = "cloudbees"
)

func (s *source) flags(c *cobra.Command) {
	s.form(c)
	c.Flags().StringVarP(&s.path, "file", "f", "", "folder with *.yaml files, or one file")
	c.Flags().BoolVar(&s.skipInvalid, "skip-invalid", false, "leave out what has errors, and say so")
}

func (s *source) form(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.format, "format", formatHoist, "form of the files: hoist, or cloudbees for a CloudBees/Rollout tree")
	f.StringArrayVar(&s.attributes, "attribute", nil, "cloudbees: rename a property, such as rox.platform=platform; repeat for more")
	f.StringVar(&s.hash, "hash", "", "cloudbees: hash of the splits that have a seed, such as rox-md5")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{formatHoist, formatCloudBees}, cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown flag
}

// loaded is what the files came to.
type loaded struct {
	content  fsm.Content
	findings manifest.Findings
	skipped  []string
	summary  string
	alone    bool // one file whose references cannot be judged
}

// load reads the files, tells the findings, and refuses errors unless they may be skipped.
func (a *app) load(s *source) (*loaded, error) {
	l, err := a.read(s)
	if err != nil {
		return nil, err
	}
	a.findings(l.findings)
	if n := l.findings.Errors(); n > 0 && !s.skipInvalid {
		return nil, failed("correct the lines named above, or leave them out with --skip-invalid",
			"%d error(s) in %s; nothing was applied", n, s.path)
	}
	if len(l.skipped) > 0 {
		a.talk("skipped %d: %s", len(l.skipped), strings.Join(l.skipped, ", "))
	}
	return l, nil
}

// read reads the files without judging what was found.
func (a *app) read(s *source) (*loaded, error) {
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, failed("another folder or file", "%v", err)
	}
	switch {
	case s.format == formatHoist:
		return readNative(s.path, info.IsDir())
	case s.format != formatCloudBees:
		return nil, &failure{code: exitUsage, message: fmt.Sprintf("--format %s is not known", s.format), try: "--format hoist or --format cloudbees"}
	case info.IsDir():
		return a.readTree(s.path, options)
	}
	return readOne(s, options)
}

func (s *source) options() (cloudbees.Options, error) {
	o := cloudbees.Options{Hash: s.hash, Attributes: map[string]string{}}
	for _, pair := range s.attributes {
		from, to, ok := strings.Cut(pair, "=")
		if !ok || from == "" || to == "" {
			return o, &failure{code: exitUsage, message: fmt.Sprintf("--attribute %s is no pair", pair), try: "--attribute rox.platform=platform"}
		}
		o.Attributes[from] = to
	}
	if s.format != formatCloudBees && (s.hash != "" || len(s.attributes) > 0) {
		return o, &failure{code: exitUsage, message: "--hash and --attribute say how a CloudBees tree is read", try: "--format cloudbees"}
	}
	return o, nil
}

// readNative reads hoist's own form. Links that lead out of the folder are not followed.
func readNative(path string, dir bool) (*loaded, error) {
	folder, root := path, "."
	if !dir {
		folder, root = filepath.Split(path)
	}
	tree, err := os.OpenRoot(cmp.Or(folder, "."))
	if err != nil {
		return nil, failed("another folder or file", "%v", err)
	}
	defer tree.Close() //nolint:errcheck // read only: nothing can be lost
	return parseNative(tree.FS(), root, folder)
}

// parseNative reads what lies below root; folder is how people call the tree.
func parseNative(tree fs.FS, root, folder string) (*loaded, error) {
	sources, err := manifest.Files(tree, root)
	var unreadable *fs.PathError
	if errors.As(err, &unreadable) {
		return nil, failed("another folder or file", "%v", err)
	}
	if err != nil {
		return nil, failed("a folder with *.yaml files, or one file; --format cloudbees for a CloudBees tree", "%s holds no manifest", folder)
	}
	for i := range sources {
		sources[i].Name = filepath.Join(folder, sources[i].Name)
	}
	l := &loaded{}
	l.content, l.findings = manifest.Parse(sources...)
	for _, f := range l.findings {
		if f.Severity == manifest.SeverityError {
			l.skipped = append(l.skipped, cmp.Or(f.Object, f.File))
		}
	}
	slices.Sort(l.skipped)
	l.skipped = slices.Compact(l.skipped)
	l.summary = fmt.Sprintf("%d flag(s) and %d segment(s)", len(l.content.Flags), len(l.content.Segments))
	return l, nil
}

// readTree reads a CloudBees tree.
func (a *app) readTree(path string, o cloudbees.Options) (*loaded, error) {
	tree, err := os.OpenRoot(path)
	if err != nil {
		return nil, failed("another folder or file", "%v", err)
	}
	defer tree.Close() //nolint:errcheck // read only: nothing can be lost
	o.Progress = a.progress("reading")
	got, err := cloudbees.Import(tree.FS(), o)
	if err != nil {
		return nil, failed("another folder or file", "%v", err)
	}
	return fromCloudBees(got, path), nil
}

// readOne reads one file of a CloudBees tree. Its folders say what it is, as far as they are named.
func readOne(s *source, o cloudbees.Options) (*loaded, error) {
	if s.known != nil {
		known, err := s.known()
		if err != nil {
			return nil, err
		}
		o.Known = &known
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, failed("another folder or file", "%v", err)
	}
	defer f.Close() //nolint:errcheck // read only: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, cloudbees.MaxFile+1))
	if err != nil {
		return nil, failed("another folder or file", "%v", err)
	}
	l := fromCloudBees(cloudbees.ImportFile(filepath.ToSlash(filepath.Clean(s.path)), data, o), "")
	l.alone = s.known == nil
	return l, nil
}

func fromCloudBees(got *cloudbees.Imported, folder string) *loaded {
	l := &loaded{content: got.Content, findings: got.Findings, skipped: got.Skipped}
	for i := range l.findings {
		l.findings[i].File = filepath.Join(folder, l.findings[i].File)
	}
	for i := range l.skipped {
		l.skipped[i] = filepath.Join(folder, l.skipped[i])
	}
	sum := got.Summary
	l.summary = fmt.Sprintf("%d flag(s), %d of them disabled, %d archived, %d target group(s), %d split(s), %d schedule(s)",
		sum.Flags, sum.Disabled, sum.Archived, sum.Groups, sum.Splits, sum.Schedules)
	return l
}

// toldWarnings is how many warnings are spelled out while something else is going on; validate shows all.
const toldWarnings = 20

// findings says errors, and the first of the warnings.
func (a *app) findings(list manifest.Findings) {
	warnings := 0
	for _, f := range list {
		switch f.Severity {
		case manifest.SeverityError:
			a.talk("%s", f)
		case manifest.SeverityWarning:
			if warnings++; warnings <= toldWarnings {
				a.talk("%s", f)
			}
		case manifest.SeverityInfo: // validate shows them
		}
	}
	if warnings > toldWarnings {
		a.talk("… and %d more warning(s); hoist validate shows all", warnings-toldWarnings)
	}
}

// progress shows on a terminal how far a large tree is.
func (a *app) progress(what string) func(done, total int) {
	if !terminal(a.stderr) {
		return nil
	}
	return func(done, total int) {
		if total >= 500 && (done%50 == 0 || done == total) {
			fmt.Fprintf(a.stderr, "\r%s %d of %d files", what, done, total)
			if done == total {
				fmt.Fprintln(a.stderr)
			}
		}
	}
}
