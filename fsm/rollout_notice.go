package fsm

import "strings"

// NotifyWebhook begins a receiver in a plan's notify; its name follows.
const NotifyWebhook = "webhook:"

// Kinds of notices about rollouts. One event is one notice.
const (
	NoticeStarted      = "rollout.started"
	NoticeInconclusive = "rollout.inconclusive"
	NoticeNoData       = "rollout.no-data"
	NoticeFrozen       = "rollout.frozen"
	NoticeOverridden   = "rollout.overridden"
)

// rolloutNotice is the Data of a notice about a rollout.
type rolloutNotice struct {
	Rollout    string  `json:"rollout"`
	Flag       string  `json:"flag"`
	Seat       string  `json:"seat"`
	Candidate  string  `json:"candidate"`
	Stable     string  `json:"stable"`
	Attempt    int     `json:"attempt"`
	Event      uint64  `json:"event,omitzero"` // its number in the rollout's history
	Move       Move    `json:"move,omitempty"`
	Step       int     `json:"step"`
	Steps      int     `json:"steps"`
	Weight     Percent `json:"weight"`
	Phase      Phase   `json:"phase"`
	Reason     Reason  `json:"reason,omitempty"` // of a pause
	NeedsHuman bool    `json:"needsHuman"`
	Override   bool    `json:"override,omitzero"`
	Rule       string  `json:"rule,omitempty"`
	Why        string  `json:"why,omitempty"`
}

// receivers are the names in the plan's notify.
func (p *Plan) receivers() []string {
	var out []string
	for _, text := range p.Notify {
		out = append(out, strings.TrimPrefix(text, NotifyWebhook))
	}
	return out
}

// noteAndTell puts an event into the chain and into the outbox of whoever the plan names.
func (s *State) noteAndTell(e *Environment, r *Rollout, event Event) {
	r.note(event)
	event.Seq = r.Events
	s.keepEvent(e, r, &event)
	s.tellOf(e, r, noticeKind(&event), event)
}

func (s *State) tellOf(e *Environment, r *Rollout, kind string, event Event) {
	to := r.plan.plan.receivers()
	if len(to) == 0 {
		return
	}
	data := rolloutNotice{Rollout: r.ID, Flag: r.Flag, Seat: r.Seat, Candidate: r.Candidate, Stable: r.Stable, Attempt: event.Attempt,
		Event: event.Seq, Move: event.Move, Step: event.Step, Steps: len(r.plan.steps), Weight: event.Weight, Phase: event.Phase,
		Reason: event.Pause, NeedsHuman: event.Phase == PhasePaused && event.Pause != ReasonNoData, Override: event.Override,
		Rule: event.Rule, Why: event.Why}
	s.tell(Notice{Kind: kind, Tenant: e.tenant, Environment: e.key, Subject: nodeName(ObjectRollout, r.ID), Actor: event.Actor,
		Data: mustEncode(data)}, to)
}

func noticeKind(e *Event) string {
	switch {
	case e.Kind == EventCompleted:
	case e.Move == MoveStart || e.Move == MoveRetry:
		return NoticeStarted
	case e.Override:
		return NoticeOverridden
	case e.Kind == EventPaused && (e.Pause == ReasonInconclusive || e.Pause == ReasonStableUnhealthy):
		return NoticeInconclusive
	case e.Kind == EventPaused && (e.Pause == ReasonNoData || e.Pause == ReasonNoDataTimeout):
		return NoticeNoData
	}
	return "rollout." + e.Kind
}

// tellFrozen says to everybody who follows a rollout here that it stands still now.
func (s *State) tellFrozen(e *Environment, f *Frozen) {
	for _, r := range e.LiveRollouts() {
		if r.Phase.Live() {
			s.tellOf(e, r, NoticeFrozen, Event{Attempt: r.Attempt, Step: r.Step, Weight: r.Weight, Phase: r.Phase, Pause: r.Reason,
				Actor: f.By, Why: f.Reason})
		}
	}
}
