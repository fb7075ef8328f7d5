package manifest

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Files reads one file, or every *.yaml, *.yml and *.json below a folder in the order of their names. Folders and files
// whose name begins with a dot are left out.
func Files(tree fs.FS, root string) ([]Source, error) {
	var sources []Source
	err := fs.WalkDir(tree, root, func(name string, entry fs.DirEntry, err error) error {
		switch hidden := name != root && strings.HasPrefix(entry.Name(), "."); {
		case err != nil:
			return err
		case entry.IsDir() && hidden:
			return fs.SkipDir
		case entry.IsDir() || hidden:
			return nil
		case name != root && !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)):
			return nil
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		sources = append(sources, Source{Name: name, Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("manifest: read %s: %w", root, err)
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("manifest: %s holds no *.yaml, *.yml or *.json file", root)
	}
	return sources, nil
}
