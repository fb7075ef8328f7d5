package cloudbees

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/fsm/manifest"
)

// The folders of a tree.
const (
	experimentsFolder = "experiments"
	groupsFolder      = "target_groups"
	archivedFolder    = "archived"
)

// source is everything a tree's files say, before they know each other.
type source struct {
	experiments []*experiment
	groups      []*targetGroup
	findings    manifest.Findings
	unreadable  int
	files       []string // read, sorted
	failed      map[string]bool
	progress    func(done, total int)
}

func (s *source) report(file string, at place, severity manifest.Severity, rule, message string) {
	s.findings = append(s.findings, manifest.Finding{File: file, Line: at.line, Column: at.column, Path: at.path,
		Severity: severity, Rule: rule, Message: message})
	if severity == manifest.SeverityError {
		s.failed[file] = true
	}
}

// read walks the tree. Files outside its two folders are not its own and are left alone.
func read(tree fs.FS, progress func(done, total int)) (*source, error) {
	s := &source{failed: map[string]bool{}, progress: progress}
	found := 0
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		folder, _, inside := strings.Cut(name, "/")
		ours := folder == experimentsFolder || folder == groupsFolder
		if entry.IsDir() {
			if name != "." && !ours {
				return fs.SkipDir
			}
			if ours && !inside {
				found++
			}
			return nil
		}
		if !ours {
			return nil
		}
		if entry.Type()&fs.ModeSymlink != 0 || !entry.Type().IsRegular() {
			s.report(name, place{}, manifest.SeverityError, "file", "not a plain file (links are not followed; put the file itself here)")
			return nil
		}
		if ext := path.Ext(name); ext == ".yml" || ext == ".yaml" {
			s.files = append(s.files, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found == 0 && len(s.findings) == 0 {
		s.report(".", place{}, manifest.SeverityError, "tree",
			"not a CloudBees tree: there is neither "+experimentsFolder+" nor "+groupsFolder+" (name the folder above them)")
	}
	return s, s.readFiles(tree)
}

func (s *source) readFiles(tree fs.FS) error {
	slices.Sort(s.files)
	for i, name := range s.files {
		if err := s.file(tree, name); err != nil {
			return err
		}
		if s.progress != nil {
			s.progress(i+1, len(s.files))
		}
	}
	return nil
}

func (s *source) file(tree fs.FS, name string) error {
	f, err := tree.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return err
	}
	d := &document{file: name}
	if len(data) > MaxFile {
		d.refuse(place{}, "size", "the file is larger than %d KiB (one file describes one flag or group)", MaxFile>>10)
	} else {
		s.document(d, data)
	}
	s.findings = append(s.findings, d.findings...)
	s.failed[name] = s.failed[name] || d.errors > 0
	return nil
}

// document reads the content as what its type says, which its folder has to agree with.
func (s *source) document(d *document, data []byte) {
	n, ok := d.parse(data)
	if !ok {
		s.unreadable++
		return
	}
	dirs := strings.Split(path.Dir(d.file), "/")
	kind := n.get("type")
	switch text := kind.scalar.text; {
	case kind.missing() || kind.kind != scalarNode:
		d.refuse(kind.at, "type", "type is missing (write experiment or target-group)")
	case text == "experiment" && !slices.Contains(dirs, groupsFolder):
		s.experiments = append(s.experiments, d.experiment(n, Archived(d.file)))
	case text == "target-group" && !slices.Contains(dirs, experimentsFolder):
		s.groups = append(s.groups, d.targetGroup(n))
	case text == "experiment" || text == "target-group":
		d.refuse(kind.at, "type", "%s does not belong into this folder (move it, or correct the type)", text)
	default:
		d.refuse(kind.at, "type", "type %q is not known (write experiment or target-group)", text)
	}
}

// Archived tells whether a file of this name stands in the archive of its tree.
func Archived(name string) bool {
	dirs := strings.Split(path.Dir(name), "/")
	return slices.Contains(dirs[max(slices.Index(dirs, experimentsFolder), 0):], archivedFolder)
}
