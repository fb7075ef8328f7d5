// Package cloudbees reads and writes flags as the CloudBees/Rollout configuration-as-code form has them: a tree with
// experiments, archived experiments and target groups, one file each.
//
// The invariant: what a tree says is either in the imported definitions, in an annotation from which Export writes it
// back, or in a finding; and importing what Export wrote gives the same definitions again.
//
//	imported, err := cloudbees.Import(os.DirFS("flags"), cloudbees.Options{})
//	if imported.Findings.Errors() > 0 { ... }
//	commands := fsm.Diff(scope, environment, imported.Content, false)
//	exported := cloudbees.Export(environment.Content(), cloudbees.Options{})
//	os.WriteFile(name, exported.Files[name], 0o644)
package cloudbees

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
)

// Options of Import and Export. Both have to be given the same.
type Options struct {
	// Attributes renames properties of the source, such as rox.platform to platform.
	Attributes map[string]string
	// Hash is the hash of every split that has a seed; empty is the default hash. Splits without a seed keep the default.
	Hash string
	// Known is what a file that does not stand in a tree may refer to.
	Known *fsm.Content
	// Progress, if not nil, is told how many of how many files were read.
	Progress func(done, total int)
}

// Imported is what a tree came to.
type Imported struct {
	Content  fsm.Content
	Findings manifest.Findings
	Skipped  []string // files left out because of an error, sorted
	Summary  Summary
	Paths    map[string]string // file of each flag ("flag/"+key) and segment ("segment/"+key)
}

// Summary counts what the files hold, those left out included.
type Summary struct {
	Flags, Groups, Archived, Unparsable, Duplicates, Disabled, Splits, Schedules int
	UnknownGroups, UnknownFlags                                                  []string // named by live flags; sorted
}

// Import reads a tree. The error is only ever one of reading; what is wrong with the files is in the findings. Files
// with an error are left out of Content: whoever applies it decides whether the rest may go without them.
func Import(tree fs.FS, o Options) (*Imported, error) {
	s, err := read(tree, o.Progress)
	if err != nil {
		return nil, err
	}
	return s.build(o, false), nil
}

// ImportFile reads one file that does not come with its tree; name decides about the folder it belongs to. References
// are looked up in Options.Known, and taken for granted without it.
func ImportFile(name string, data []byte, o Options) *Imported {
	s := &source{failed: map[string]bool{}, files: []string{name}}
	d := &document{file: name}
	if len(data) > MaxFile {
		d.refuse(place{}, "size", "the file is larger than %d KiB (one file describes one flag or group)", MaxFile>>10)
	} else {
		s.document(d, data)
	}
	s.findings, s.failed[name] = d.findings, d.errors > 0
	return s.build(o, true)
}

// importer gives the files of one tree their keys and turns them into definitions.
type importer struct {
	*source
	options Options
	single  bool              // one file without its tree
	groups  map[string]string // key of each group by name
	flags   map[string]*experiment
	keys    map[*experiment]string
	known   map[string]*evaluator.Flag // by original name, from Options.Known
	unknown struct{ groups, flags map[string]bool }
	out     *Imported
}

func (s *source) build(o Options, single bool) *Imported {
	im := &importer{source: s, options: o, single: single, out: &Imported{Paths: map[string]string{}},
		keys: map[*experiment]string{}, flags: map[string]*experiment{}, known: map[string]*evaluator.Flag{}}
	im.unknown.groups, im.unknown.flags = map[string]bool{}, map[string]bool{}
	im.duplicates()
	im.name()
	im.cycles()
	im.fallout()
	for _, g := range s.groups {
		if !g.broken {
			im.segment(g)
		}
	}
	for _, x := range s.experiments {
		if !x.broken {
			im.flag(x)
		}
	}
	return im.finish()
}

func (im *importer) finish() *Imported {
	out := im.out
	slices.SortFunc(out.Content.Flags, func(a, b *evaluator.Flag) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(out.Content.Segments, func(a, b *evaluator.Segment) int { return cmp.Compare(a.Key, b.Key) })
	out.Content.StatesSchedules = true
	out.Findings = im.findings
	out.Findings.Sort()
	for file, failed := range im.failed {
		if failed {
			out.Skipped = append(out.Skipped, file)
		}
	}
	slices.Sort(out.Skipped)
	im.summarize()
	return out
}

func (im *importer) summarize() {
	s := &im.out.Summary
	s.Groups, s.Unparsable = len(im.source.groups), im.unreadable
	for _, x := range im.experiments {
		if x.archived {
			s.Archived++
			continue
		}
		s.Flags++
		if !x.enabled {
			s.Disabled++
		}
		x.values(func(v *value) {
			switch v.kind {
			case shareValue:
				s.Splits++
			case levelValue:
				s.Schedules++
			}
		})
	}
	s.UnknownGroups, s.UnknownFlags = sortedNames(im.unknown.groups), sortedNames(im.unknown.flags)
}

func sortedNames(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// duplicates refuses every file of a name that two live files, two archived ones or two groups have. A live flag and
// its archived twin are two flags.
func (im *importer) duplicates() {
	live, archived := map[string][]*experiment{}, map[string][]*experiment{}
	for _, x := range im.experiments {
		if x.flag == "" {
			continue
		}
		if x.archived {
			archived[x.flag] = append(archived[x.flag], x)
		} else {
			live[x.flag] = append(live[x.flag], x)
		}
	}
	for _, x := range im.experiments {
		set := live
		if x.archived {
			set = archived
			if twin := live[x.flag]; len(twin) > 0 && x.flag != "" {
				im.report(x.file, place{line: x.flagAt.line, column: x.flagAt.column}, manifest.SeverityWarning, "duplicate",
					fmt.Sprintf("flag %q is live in %s as well; the archived one gets another key", x.flag, twin[0].file))
			}
		}
		if twins := set[x.flag]; len(twins) > 1 {
			im.twice(x.file, twins[0].file, x.flagAt, "flag", x.flag, x == twins[0])
			x.broken = true
		}
	}
	groups := map[string][]*targetGroup{}
	for _, g := range im.source.groups {
		if g.name != "" {
			groups[g.name] = append(groups[g.name], g)
		}
	}
	for _, g := range im.source.groups {
		if twins := groups[g.name]; len(twins) > 1 {
			im.twice(g.file, twins[0].file, g.nameAt, "target group", g.name, g == twins[0])
			g.broken = true
		}
	}
}

func (im *importer) twice(file, first string, at place, what, name string, isFirst bool) {
	if isFirst {
		im.failed[file] = true // the finding stands with those that came later and names this file
		return
	}
	im.out.Summary.Duplicates++
	im.report(file, place{line: at.line, column: at.column}, manifest.SeverityError, "duplicate",
		fmt.Sprintf("%s %q is also described in %s (keep one of the two files)", what, name, first))
}

// name decides all keys, so that references can be written before their targets are.
func (im *importer) name() {
	var names []string
	for _, g := range im.source.groups {
		if g.name != "" {
			names = append(names, g.name)
		}
	}
	im.groups = newNaming(names).keys
	names = nil
	for _, x := range im.experiments {
		if x.flag != "" && !x.archived {
			names = append(names, x.flag)
			im.flags[x.flag] = x
		}
	}
	for _, x := range im.experiments {
		if x.flag != "" && x.archived {
			names = append(names, x.flag)
		}
	}
	flags := newNaming(names)
	for _, x := range im.experiments {
		key := flags.keys[x.flag]
		if live := im.flags[x.flag]; x.archived && live != nil {
			key = flags.free(key)
		}
		im.keys[x] = key
	}
	im.clashes()
	if im.options.Known != nil {
		im.remember(im.options.Known)
	}
}

// clashes refuses flag keys that differ only in case.
func (im *importer) clashes() {
	folded := map[string]*experiment{}
	for _, x := range im.experiments {
		if x.broken {
			continue
		}
		low := strings.ToLower(im.keys[x])
		if other, taken := folded[low]; taken && im.keys[other] != im.keys[x] {
			x.broken = true
			im.report(x.file, x.flagAt, manifest.SeverityError, "case-clash",
				fmt.Sprintf("flag %q differs from %q in %s only in case (rename one)", x.flag, other.flag, other.file))
			continue
		}
		folded[low] = x
	}
}

// remember lets a single file refer to what an environment holds.
func (im *importer) remember(known *fsm.Content) {
	for _, s := range known.Segments {
		name := groupName(s)
		if _, here := im.groups[name]; !here {
			im.groups[name] = s.Key
		}
	}
	for _, f := range known.Flags {
		if !f.Archived {
			im.known[flagName(f)] = f
		}
	}
}

func flagName(f *evaluator.Flag) string { return cmp.Or(f.Annotations[annotationName], f.Key) }

func groupName(s *evaluator.Segment) string {
	return cmp.Or(s.Annotations[annotationName], s.Key)
}
