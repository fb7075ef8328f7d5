package cloudbees

import (
	"errors"
	"path"
	"slices"
	"strconv"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
)

// Exported is a tree ready to be written.
type Exported struct {
	Files    map[string][]byte // by path below the root of the tree
	Objects  map[string]string // path of each flag ("flag/"+key) and segment ("segment/"+key)
	Findings manifest.Findings
}

// Export writes content as a tree, one file per flag and target group. Every file is read again before it is given
// out: what would come back as something else is a finding not-expressible and has no file.
func Export(content fsm.Content, o Options) *Exported {
	e := &exporter{lifter: newLifter(content, o), content: content, out: &Exported{Files: map[string][]byte{}, Objects: map[string]string{}}}
	s := &source{failed: map[string]bool{}}
	for _, g := range content.Segments {
		lifted, err := e.group(g)
		if err != nil {
			e.refuse("segment", g.Key, err)
			continue
		}
		e.file(s, path.Join(groupsFolder, g.Key+".yaml"), "segment", g.Key, lifted.write)
	}
	for _, f := range content.Flags {
		lifted, err := e.experiment(f)
		if err != nil {
			e.refuse("flag", f.Key, err)
			continue
		}
		folder := experimentsFolder
		if f.Archived {
			folder = path.Join(experimentsFolder, archivedFolder)
		}
		e.file(s, path.Join(folder, f.Key+".yaml"), "flag", f.Key, lifted.write)
	}
	e.verify(s.build(o, false))
	e.out.Findings.Sort()
	return e.out
}

type exporter struct {
	*lifter
	content fsm.Content
	out     *Exported
}

func (e *exporter) refuse(kind, key string, err error) {
	f := manifest.Finding{File: kind + "/" + key, Severity: manifest.SeverityError, Rule: "not-expressible",
		Message: "the form has no words for " + kind + " " + strconv.Quote(key) + ": " + err.Error()}
	var why *inexpressible
	if errors.As(err, &why) {
		f.Path = why.field
	}
	e.out.Findings = append(e.out.Findings, f)
}

// file writes one document and reads it back into s.
func (e *exporter) file(s *source, name, kind, key string, write func() ([]byte, error)) {
	data, err := write()
	if err != nil {
		e.refuse(kind, key, err)
		return
	}
	e.out.Objects[kind+"/"+key] = name
	e.out.Files[name] = data
	d := &document{file: name}
	s.document(d, data)
	s.files = append(s.files, name)
	s.findings, s.failed[name] = append(s.findings, d.findings...), d.errors > 0
}

// verify takes back every file that does not mean what it was made from.
func (e *exporter) verify(back *Imported) {
	flags, segments := map[string]*evaluator.Flag{}, map[string]*evaluator.Segment{}
	for _, f := range back.Content.Flags {
		flags[f.Key] = f
	}
	for _, s := range back.Content.Segments {
		segments[s.Key] = s
	}
	schedules := map[string][]*fsm.Schedule{}
	for _, s := range back.Content.Schedules {
		schedules[s.Flag] = append(schedules[s.Flag], s)
	}
	for _, s := range e.content.Segments {
		if e.out.Objects["segment/"+s.Key] == "" {
			continue
		}
		if got := segments[s.Key]; got == nil {
			e.takeBack(back, "segment", s.Key, "")
		} else if at, same := difference(s.Canonical(), got.Canonical()); !same {
			e.takeBack(back, "segment", s.Key, at)
		}
	}
	for _, f := range e.content.Flags {
		if e.out.Objects["flag/"+f.Key] == "" {
			continue
		}
		got := flags[f.Key]
		if got == nil {
			e.takeBack(back, "flag", f.Key, "")
		} else if at, same := difference(withoutRanges(f).Canonical(), got.Canonical()); !same {
			e.takeBack(back, "flag", f.Key, at)
		} else if !slices.EqualFunc(e.of(f), schedules[f.Key], (*fsm.Schedule).Equal) {
			e.takeBack(back, "flag", f.Key, "/schedules")
		}
	}
}

// of lists the schedules of a flag in the order in which import finds them.
func (e *exporter) of(f *evaluator.Flag) []*fsm.Schedule {
	var out []*fsm.Schedule
	for _, r := range f.Rules {
		if s := e.schedules[f.Key][r.ID]; s != nil {
			out = append(out, s)
		}
	}
	if s := e.schedules[f.Key][""]; s != nil {
		out = append(out, s)
	}
	return out
}

func (e *exporter) takeBack(back *Imported, kind, key, at string) {
	name := e.out.Objects[kind+"/"+key]
	delete(e.out.Files, name)
	delete(e.out.Objects, kind+"/"+key)
	err := cannot(at, "it would come back changed")
	for _, f := range back.Findings {
		if f.File == name && f.Severity == manifest.SeverityError {
			err = cannot(at, "%s", f.Message)
		}
	}
	e.refuse(kind, key, err)
}

// withoutRanges is the flag as people write it: where the pieces of a split lie is each environment's own.
func withoutRanges(f *evaluator.Flag) *evaluator.Flag {
	out := *f
	strip := func(s evaluator.Serve) evaluator.Serve {
		if s.Split != nil {
			split := *s.Split
			split.Ranges = nil
			s.Split = &split
		}
		return s
	}
	out.Rules = slices.Clone(f.Rules)
	for i := range out.Rules {
		out.Rules[i].Then = strip(out.Rules[i].Then)
	}
	if f.Default != nil {
		serve := strip(*f.Default)
		out.Default = &serve
	}
	return &out
}

// difference is the first place, as a JSON pointer, where two records differ.
func difference(a, b []byte) (string, bool) {
	var was, is evaluator.Value
	if was.UnmarshalJSON(a) != nil || is.UnmarshalJSON(b) != nil {
		return "", false
	}
	if was.Equal(is) {
		return "", true
	}
	return differs("", was, is), false
}

func differs(at string, a, b evaluator.Value) string {
	if a.Kind() == evaluator.KindObject && b.Kind() == evaluator.KindObject {
		for _, m := range a.Members() {
			if other, ok := b.Member(m.Name); !ok || !other.Equal(m.Value) {
				return differs(at+"/"+m.Name, m.Value, other)
			}
		}
		for _, m := range b.Members() {
			if _, ok := a.Member(m.Name); !ok {
				return at + "/" + m.Name
			}
		}
	}
	if a.Kind() == evaluator.KindList && b.Kind() == evaluator.KindList {
		x, y := a.Elems(), b.Elems()
		for i := range min(len(x), len(y)) {
			if !x[i].Equal(y[i]) {
				return differs(at+"/"+strconv.Itoa(i), x[i], y[i])
			}
		}
	}
	return at
}
