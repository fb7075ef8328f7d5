package fsm

// Reborn is the state as another epoch begins with it, under the same or another cluster id: what an operator's restore
// and recovery start from. Everything people declared stays as it is, and so does the domain hash; clients of the former
// epoch take a snapshot, even if their revision is higher.
func (s *State) Reborn(epoch, clusterID string) *State {
	reborn := *s
	reborn.checkpoints = nil // their indexes are of the former log
	reborn.setEpoch(epoch, clusterID)
	return &reborn
}
