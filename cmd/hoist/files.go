package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// readContent reads a manifest file, or every *.yaml, *.yml and *.json below a folder, in the order of their names.
func readContent(path string) (fsm.Content, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fsm.Content{}, failed("another folder or file", "%v", err)
	}
	if info.IsDir() {
		return readTree(os.DirFS(path), path)
	}
	return readFiles(os.DirFS(filepath.Dir(path)), filepath.Dir(path), []string{filepath.Base(path)})
}

// readTree reads the manifests of a whole tree; shown is how people call it.
func readTree(tree fs.FS, shown string) (fsm.Content, error) {
	var names []string
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return fsm.Content{}, failed("another folder or file", "%v", err)
	}
	if len(names) == 0 {
		return fsm.Content{}, failed("a folder with *.yaml files", "%s holds no manifest", shown)
	}
	return readFiles(tree, shown, names)
}

func readFiles(tree fs.FS, shown string, names []string) (fsm.Content, error) {
	var all fsm.Content
	for _, name := range names {
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return all, failed("another folder or file", "%v", err)
		}
		content, err := parseManifest(data)
		if err != nil {
			return all, failed("correct the file; hoist export shows the shape", "%s: %v", filepath.Join(shown, name), err)
		}
		all.Flags = append(all.Flags, content.Flags...)
		all.Segments = append(all.Segments, content.Segments...)
	}
	return all, nil
}

// readManifest reads a manifest in the form the API takes.
func readManifest(path string) (*hoistv1.Manifest, error) {
	content, err := readContent(path)
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
	return a.showJSON(map[string]any{"flags": content.Flags, "segments": content.Segments})
}

// validate tries the files on an empty state: the same law as on a server judges them.
func (a *app) validate(path string) error {
	content, err := readContent(path)
	if err != nil {
		return err
	}
	if err := judge(content); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %d flag(s) and %d segment(s), all valid\n", path, len(content.Flags), len(content.Segments))
	for _, f := range content.Flags {
		for _, finding := range f.Lint() {
			a.talk("worth a look: flag %s %s: %s", f.Key, finding.Field, finding.Message)
		}
	}
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

// parseManifest reads the flags and segments of one document, strictly.
func parseManifest(data []byte) (fsm.Content, error) {
	var document struct {
		Flags    []any `yaml:"flags"`
		Segments []any `yaml:"segments"`
	}
	var content fsm.Content
	if err := yaml.Load(data, &document, yaml.WithKnownFields()); err != nil {
		return content, err
	}
	for _, entry := range document.Flags {
		record, err := json.Marshal(entry)
		if err != nil {
			return content, err
		}
		flag, err := evaluator.DecodeFlag(record)
		if err != nil {
			return content, err
		}
		content.Flags = append(content.Flags, flag)
	}
	for _, entry := range document.Segments {
		record, err := json.Marshal(entry)
		if err != nil {
			return content, err
		}
		segment, err := evaluator.DecodeSegment(record)
		if err != nil {
			return content, err
		}
		content.Segments = append(content.Segments, segment)
	}
	return content, nil
}
