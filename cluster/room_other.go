//go:build !unix

package cluster

// room is nil where the free space cannot be asked for: the thresholds do not exist there.
func room(directory) Room { return nil }
