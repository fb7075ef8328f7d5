package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
	"github.com/hoistflags/hoist/fsm/manifest/cloudbees"
)

func (a *app) exportCommand() *cobra.Command {
	var src source
	var prune bool
	c := &cobra.Command{
		Use: "export", Short: "Print or write everything an environment declares, ready for apply",
		Long: `Print everything an environment declares, or write it to a file or folder. A CloudBees tree is written into a folder,
one file per flag; flags that a file there describes already stay in that file. What the form cannot say is an error that
names flag and field, and nothing is written unless --skip-invalid.`,
		Example: "  hoist export > flags.yaml\n  hoist export -e production -o json\n" +
			"  hoist export -f tree --format cloudbees --prune", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			content, err := a.declared(cmd.Context(), n)
			if err != nil {
				return err
			}
			switch {
			case src.format == formatCloudBees && src.path == "":
				return usage(cmd, "a CloudBees tree is written into a folder: name it with --file")
			case src.format == formatCloudBees:
				return a.exportTree(&src, content, prune)
			case prune:
				return usage(cmd, "--prune deletes files of a CloudBees tree; one file needs none of it")
			}
			return a.exportNative(&src, content)
		},
	}
	src.flags(c)
	c.Flags().Lookup("file").Usage = "file or folder to write; a CloudBees tree needs one"
	c.Flags().BoolVar(&prune, "prune", false, "cloudbees: delete the files of flags and groups that are gone")
	return a.printing(a.scoped(c), "yaml", "json")
}

// exportNative prints the content in the shape that apply reads, or writes it to a file.
func (a *app) exportNative(src *source, content fsm.Content) error {
	if _, err := src.options(); err != nil {
		return err
	}
	if a.output == "json" && src.path == "" {
		document := map[string]any{"flags": content.Flags, "segments": content.Segments}
		if len(content.Schedules) > 0 {
			document["schedules"] = content.Schedules
		}
		return a.showJSON(document)
	}
	out, err := manifest.Export(content)
	if err != nil {
		return err
	}
	if src.path == "" {
		_, err = a.stdout.Write(out)
		return err
	}
	name := src.path
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, "flags.yaml")
	}
	if err := os.WriteFile(name, out, 0o644); err != nil {
		return failed("another file", "%v", err)
	}
	fmt.Fprintln(a.stdout, name)
	return nil
}

// exportTree writes a CloudBees tree: over the files that describe the same flags and groups, or into new ones.
func (a *app) exportTree(src *source, content fsm.Content, prune bool) error {
	options, err := src.options()
	if err != nil {
		return err
	}
	out := cloudbees.Export(content, options)
	a.findings(out.Findings)
	if n := out.Findings.Errors(); n > 0 && !src.skipInvalid {
		return failed("correct the flags named above, or leave them out with --skip-invalid", "%d error(s); nothing was written", n)
	}
	if err := os.MkdirAll(src.path, 0o755); err != nil {
		return failed("another folder", "%v", err)
	}
	tree, err := os.OpenRoot(src.path)
	if err != nil {
		return failed("another folder", "%v", err)
	}
	defer tree.Close() //nolint:errcheck // every file is closed, or its error told, before
	placed, gone, err := places(tree.FS(), out, options, prune)
	if err != nil {
		return failed("a folder that can be read", "%v", err)
	}
	for _, name := range sortedKeys(placed) {
		if err := tree.MkdirAll(path.Dir(name), 0o755); err != nil {
			return failed("another folder", "%v", err)
		}
		if err := tree.WriteFile(name, placed[name], 0o644); err != nil {
			return failed("another folder", "%v", err)
		}
	}
	for _, name := range gone {
		if err := tree.Remove(name); err != nil {
			return failed("another folder", "%v", err)
		}
	}
	fmt.Fprintf(a.stdout, "%s: %d file(s) written, %d deleted\n", src.path, len(placed), len(gone))
	return nil
}

// places keeps every flag and group in the file that describes it already. Gone are the files of what moved to or from
// the archive and, with prune, of what is not there any more.
func places(tree fs.FS, out *cloudbees.Exported, o cloudbees.Options, prune bool) (placed map[string][]byte, gone []string, err error) {
	there, err := cloudbees.Import(tree, o)
	if err != nil {
		return nil, nil, err
	}
	placed = map[string][]byte{}
	for object, name := range out.Objects {
		data := out.Files[name]
		if old, ok := there.Paths[object]; ok && cloudbees.Archived(old) == cloudbees.Archived(name) {
			name = old
		}
		placed[name] = data
	}
	for object, name := range there.Paths {
		_, written := placed[name]
		if _, kept := out.Objects[object]; !written && (prune || kept) {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return placed, gone, nil
}
