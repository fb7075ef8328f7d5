package fsm

// Trail is somebody's way through every state that is published, in order and without a gap. Whoever only wants the newest
// waits for Changed instead. A trail that is not walked keeps the states before it in memory.
type Trail struct{ at *generation }

// Trail begins at the current state.
func (s *Store) Trail() *Trail { return &Trail{s.current.Load()} }

// State is where the trail stands.
func (t *Trail) State() *State { return t.at.state }

// Moved is closed when there is a state after the one where the trail stands.
func (t *Trail) Moved() <-chan struct{} { return t.at.replaced }

// Ahead goes to the next state if it is there already.
func (t *Trail) Ahead() (*State, bool) {
	select {
	case <-t.at.replaced:
		t.at = t.at.next
		return t.at.state, true
	default:
		return nil, false
	}
}
