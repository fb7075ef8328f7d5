package fsm

// The commands of schedules. A schedule that a file states is named by its flag and rule, one that people made by its flag
// and id. Only the cluster itself moves one.
type (
	// PutSchedule sets the schedule of one seat, if a file states it; it begins at the last level whose time has come.
	// Otherwise it makes a new one: the law gives the id, see ScheduleID.
	PutSchedule struct {
		Scope
		Schedule *Schedule `json:"schedule"`
	}
	// DropSchedule takes a schedule away; the flag serves its declaration again. Without one it changes nothing.
	DropSchedule struct {
		Scope
		Flag string `json:"flag"`
		Rule string `json:"rule,omitempty"` // empty: the default's
		ID   string `json:"id,omitempty"`
	}
	// SwitchSchedule pauses a schedule, or lets a paused or suspended one go on. What it serves meanwhile stays when it is
	// paused; the newest time that it missed counts when it goes on.
	SwitchSchedule struct {
		Scope
		Flag    string `json:"flag"`
		Rule    string `json:"rule,omitempty"`
		ID      string `json:"id,omitempty"`
		Running bool   `json:"running"`
	}
	// MoveSchedule goes on if a time has come that was not reached yet. For a recurring schedule the leader says which
	// instants its text means: At is the newest whose time has come (empty: none yet), Next the one after it (empty: never
	// again), Skipped how many older ones were missed, and Due the Next that it saw, so that twice is once.
	MoveSchedule struct {
		Scope
		Flag    string `json:"flag"`
		Rule    string `json:"rule,omitempty"`
		ID      string `json:"id,omitempty"`
		Due     string `json:"due,omitempty"`
		At      string `json:"at,omitempty"`
		Next    string `json:"next,omitempty"`
		Skipped int    `json:"skipped,omitzero"`
	}
)

const (
	verbPutSchedule    = "schedule.put"
	verbDropSchedule   = "schedule.drop"
	verbMoveSchedule   = "schedule.move"
	verbPauseSchedule  = "schedule.pause"
	verbResumeSchedule = "schedule.resume"
)

// Verb names the change for audit rows and rights.
func (PutSchedule) Verb() string { return verbPutSchedule }

// Verb names the change for audit rows and rights.
func (DropSchedule) Verb() string { return verbDropSchedule }

// Verb names the change for audit rows and rights.
func (c SwitchSchedule) Verb() string {
	return either(c.Running, verbResumeSchedule, verbPauseSchedule)
}

// Verb names the change for audit rows and rights.
func (MoveSchedule) Verb() string { return verbMoveSchedule }

func (c PutSchedule) target() Target {
	if c.Schedule == nil {
		return c.object(ObjectFlag, "")
	}
	return c.object(ObjectFlag, c.Schedule.Flag)
}
func (c DropSchedule) target() Target   { return c.object(ObjectFlag, c.Flag) }
func (c SwitchSchedule) target() Target { return c.object(ObjectFlag, c.Flag) }
func (c MoveSchedule) target() Target   { return c.object(ObjectFlag, c.Flag) }

// scheduleOwner is the owner of the exposure that a command about a schedule means.
func scheduleOwner(rule, id string) string {
	if id != "" {
		return OwnerSchedule + "/" + id
	}
	return (&Schedule{Rule: rule}).owner()
}
