package archive

import "github.com/hoistflags/hoist/fsm"

// Frame is one row as a file holds it.
func Frame(row *fsm.Written) []byte { return appendFrame(nil, row) }
