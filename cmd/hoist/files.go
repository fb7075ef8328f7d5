package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// readContent reads a manifest file, or every manifest below a folder. Warnings are told, errors end it.
func (a *app) readContent(name string) (fsm.Content, error) {
	info, err := os.Stat(name)
	if err != nil {
		return fsm.Content{}, failed("another folder or file", "%v", err)
	}
	dir, root := name, "."
	if !info.IsDir() {
		dir, root = filepath.Split(name)
	}
	return a.readTree(os.DirFS(cmp.Or(dir, ".")), root, dir)
}

// readTree reads what lies below root; dir is how people call the tree.
func (a *app) readTree(tree fs.FS, root, dir string) (fsm.Content, error) {
	sources, err := manifest.Files(tree, root)
	var unreadable *fs.PathError
	if errors.As(err, &unreadable) {
		return fsm.Content{}, failed("another folder or file", "%v", err)
	}
	if err != nil {
		return fsm.Content{}, failed("a folder with *.yaml files, or one file", "%s holds no manifest", dir)
	}
	for i := range sources {
		sources[i].Name = filepath.Join(dir, sources[i].Name)
	}
	content, findings := manifest.Parse(sources...)
	if findings.Failed() {
		return content, failed("correct the lines named above; hoist export shows the shape", "%s", strings.TrimSpace(findings.String()))
	}
	for _, finding := range findings {
		a.talk("%s", finding)
	}
	return content, nil
}

// readManifest reads a manifest in the form the API takes.
func (a *app) readManifest(path string) (*hoistv1.Manifest, error) {
	content, err := a.readContent(path)
	if err != nil {
		return nil, err
	}
	return manifestOf(content), nil
}

// manifestOf turns content into the form the API takes.
func manifestOf(content fsm.Content) *hoistv1.Manifest {
	m := &hoistv1.Manifest{}
	for _, f := range content.Flags {
		m.Flags = append(m.Flags, f.Canonical())
	}
	for _, s := range content.Segments {
		m.Segments = append(m.Segments, s.Canonical())
	}
	return m
}

// showManifest prints what export got in the shape that apply reads.
func (a *app) showManifest(m *hoistv1.Manifest) error {
	content, err := contentOf(m)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.showJSON(map[string]any{"flags": content.Flags, "segments": content.Segments})
	}
	out, err := manifest.Export(content)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(out)
	return err
}

// validate tries the files on an empty state: the same law as on a server judges them.
func (a *app) validate(path string) error {
	content, err := a.readContent(path)
	if err != nil {
		return err
	}
	if err := judge(content); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %d flag(s) and %d segment(s), all valid\n", path, len(content.Flags), len(content.Segments))
	return nil
}

// judge applies the content to an empty environment and says what the law thinks of it.
func judge(content fsm.Content) error {
	state, err := freshState()
	if err != nil {
		return err
	}
	environment, ok := state.Environment(fsm.DefaultTenant, defaultEnvironment)
	if !ok {
		return fmt.Errorf("a fresh state has no environment %q", defaultEnvironment)
	}
	scope := fsm.Scope{Tenant: fsm.DefaultTenant, Environment: defaultEnvironment}
	command := fsm.Batch{Scope: scope, Commands: fsm.Diff(scope, environment, content, false)}
	if len(command.Commands) == 0 {
		return nil
	}
	if err := fsm.Check(command); err != nil {
		return lawful(err)
	}
	encoded, err := fsm.EncodeCommand(command)
	if err != nil {
		return lawful(err)
	}
	_, err = state.Try(&fsm.Proposal{RequestID: "validate", Actor: fsm.Actor{Kind: "system"}, Command: encoded})
	return lawful(err)
}

// freshState is the state of a cluster that has just elected its first leader.
func freshState() (*fsm.State, error) {
	first, err := fsm.EncodeCommand(fsm.LeaderEstablished{
		Term: 1, ServerID: "validate", ClusterID: "validate", Epoch: "validate", LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})
	if err != nil {
		return nil, err
	}
	proposal := fsm.Proposal{Actor: fsm.Actor{Kind: "system"}, Command: first}
	store := fsm.NewStore()
	for _, outcome := range store.Apply([]fsm.Entry{{Index: 1, Term: 1, Data: proposal.Encode()}}) {
		if outcome.Err != nil {
			return nil, outcome.Err
		}
	}
	return store.State(), nil
}

// lawful gives an error of the law the words of the command line: one line per field.
func lawful(err error) error {
	var e *fsm.Error
	if !errors.As(err, &e) {
		return err
	}
	message := e.Detail
	if e.Target != "" {
		message = e.Target + ": " + message
	}
	for _, p := range e.Problems {
		message += fmt.Sprintf("\n  %s: %s (%s)", p.Field, p.Message, p.Code)
	}
	return failed("correct the fields named above", "%s", message)
}

// contentOf decodes the manifest of an API answer.
func contentOf(m *hoistv1.Manifest) (fsm.Content, error) {
	var content fsm.Content
	for _, record := range m.GetFlags() {
		flag, err := evaluator.DecodeFlag(record)
		if err != nil {
			return content, fmt.Errorf("the node sent a flag this binary cannot read: %w", err)
		}
		content.Flags = append(content.Flags, flag)
	}
	for _, record := range m.GetSegments() {
		segment, err := evaluator.DecodeSegment(record)
		if err != nil {
			return content, fmt.Errorf("the node sent a segment this binary cannot read: %w", err)
		}
		content.Segments = append(content.Segments, segment)
	}
	return content, nil
}
