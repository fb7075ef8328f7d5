package fsm

// The commands of schedules. Only the cluster itself moves one.
type (
	// PutSchedule sets the schedule of one seat of a flag. It begins at the last level whose time has come.
	PutSchedule struct {
		Scope
		Schedule *Schedule `json:"schedule"`
	}
	// DropSchedule takes a schedule away; the flag serves its declaration again. Without one it changes nothing.
	DropSchedule struct {
		Scope
		Flag string `json:"flag"`
		Rule string `json:"rule,omitempty"` // empty: the default's
	}
	// MoveSchedule goes to the level whose time has come, if there is one that was not reached yet.
	MoveSchedule struct {
		Scope
		Flag string `json:"flag"`
		Rule string `json:"rule,omitempty"`
	}
)

const (
	verbPutSchedule  = "schedule.put"
	verbDropSchedule = "schedule.drop"
	verbMoveSchedule = "schedule.move"
)

// Verb names the change for audit rows and rights.
func (PutSchedule) Verb() string { return verbPutSchedule }

// Verb names the change for audit rows and rights.
func (DropSchedule) Verb() string { return verbDropSchedule }

// Verb names the change for audit rows and rights.
func (MoveSchedule) Verb() string { return verbMoveSchedule }

func (c PutSchedule) target() Target {
	if c.Schedule == nil {
		return c.object(ObjectFlag, "")
	}
	return c.object(ObjectFlag, c.Schedule.Flag)
}
func (c DropSchedule) target() Target { return c.object(ObjectFlag, c.Flag) }
func (c MoveSchedule) target() Target { return c.object(ObjectFlag, c.Flag) }
