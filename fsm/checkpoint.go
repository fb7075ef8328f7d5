package fsm

import "fmt"

// checkpoint is the full hash at an index divisible by 4,096.
type checkpoint struct {
	index uint64
	hash  sum
}

const (
	checkpointEvery = 4096
	// keptCheckpoints leaves the leader's Checksum time to arrive while the log goes on.
	keptCheckpoints = 8
)

// passCheckpoint keeps the hash for the newest boundary that lies before the entry and was passed without an entry of
// its own: indexes of no-ops never come here, on no node.
func (s *State) passCheckpoint(next uint64) {
	if boundary := (next - 1) / checkpointEvery * checkpointEvery; boundary > s.index {
		s.addCheckpoint(boundary)
	}
}

func (s *State) keepCheckpoint() {
	if s.index%checkpointEvery == 0 {
		s.addCheckpoint(s.index)
	}
}

func (s *State) addCheckpoint(index uint64) {
	kept := s.checkpoints[max(0, len(s.checkpoints)-keptCheckpoints+1):]
	s.checkpoints = append(kept[:len(kept):len(kept)], checkpoint{index: index, hash: s.full()})
}

// Checkpoint is the newest index divisible by 4,096 and the full hash there; the leader proposes it as a Checksum.
// Zero before the first.
func (s *State) Checkpoint() (index uint64, hash string) {
	if len(s.checkpoints) == 0 {
		return 0, ""
	}
	newest := s.checkpoints[len(s.checkpoints)-1]
	return newest.index, newest.hash.hex()
}

// compare is how a node finds out that it went astray. An index it no longer or not yet holds says nothing.
func (s *State) compare(c Checksum) Outcome {
	for _, own := range s.checkpoints {
		if own.index == c.Index && own.hash.hex() != c.Hash {
			return Outcome{Err: &LawError{ExitCode: exitDiverged, Detail: fmt.Sprintf(
				"this node's state differs from the leader's at revision %d (%s, leader %s); move its data directory aside and let it join anew",
				c.Index, own.hash.hex(), c.Hash)}}
		}
	}
	return s.unchanged()
}
