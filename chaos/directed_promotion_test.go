package chaos_test

import (
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
	"github.com/hoistflags/hoist/fsm"
)

func promotionScenarios() []directed {
	return []directed{
		{bug: "B20", breaks: "a promotion leaves its last item behind", name: "a promotion of three flags", catches: []int{chaos.Whole}, play: func(s *stage) {
			s.promotion()
		}},
		{bug: "B21", breaks: "a rollback takes one item back", name: "a promotion and its rollback", catches: []int{chaos.Whole}, play: func(s *stage) {
			id := s.promotion()
			require.Equal(s, chaos.OK, s.step(id, fsm.ChangeMoveRollback, "").Outcome)
			require.Equal(s, chaos.OK, s.step(id, fsm.ChangeMoveRollback, "checker").Outcome)
		}},
	}
}

// promotion takes three flags into production.
func (s *stage) promotion() (id string) {
	edit := chaos.Input{Kind: chaos.Batch, Environment: chaos.Rollouts}
	for _, key := range []string{"u", "v", "w"} {
		edit.Parts = append(edit.Parts, chaos.Input{Kind: chaos.Put, Environment: chaos.Rollouts, Key: key, Value: "first"})
	}
	require.Equal(s, chaos.OK, s.do("n1", edit).Outcome)
	id = s.do("n1", chaos.Input{Kind: chaos.Promote, Environment: chaos.Production}).Result.Made
	require.NotEmpty(s, id)
	s.step(id, fsm.ChangeMoveValidate, "")
	s.step(id, fsm.ChangeMoveApprove, "checker")
	op := s.step(id, fsm.ChangeMoveApply, "")
	require.Equal(s, chaos.OK, op.Outcome, "%s", op.Result.Detail)
	return id
}

func (s *stage) step(id string, m fsm.ChangeMove, as string) chaos.Op {
	return s.do(s.leader(), chaos.Input{Kind: chaos.Step, Environment: chaos.Production, Key: id, Value: string(m), As: as})
}
