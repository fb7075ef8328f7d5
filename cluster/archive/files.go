package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// files lists the files of rows in a folder in order.
func files(dir string) ([]string, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("archive: %s is no folder of audit rows", dir)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.rows"))
	slices.Sort(paths)
	return paths, err
}
