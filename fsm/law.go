//go:build !nextlaw

package fsm

// LawVersion is the newest cluster version this binary knows.
const LawVersion = 1

// introduced is the cluster version from which on a command may be written. Before everybody knows it, one entry of it
// would end the processes of those who do not.
func introduced(Command) int { return LawOldest }
