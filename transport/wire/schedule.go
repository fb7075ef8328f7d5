package wire

import (
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// EncodeSchedule turns the exposure of a schedule that people made into a message.
func EncodeSchedule(environment string, x fsm.Exposure) *hoistv1.Schedule {
	s := x.Schedule
	m := &hoistv1.Schedule{
		Id: s.ID, Name: s.Name, Environment: environment, Flag: s.Flag, Rule: s.Rule, Action: string(s.Action), Start: instant(s.Start),
		End: instant(s.End), Cron: s.Cron, Timezone: s.Zone, Land: s.Land, Metadata: s.Metadata, Status: x.ScheduleStatus(), Next: instant(x.Next()),
		CreatedBy: EncodeActor(x.By), Revision: x.Revision, TargetPercentage: float64(s.Weight) / 1000,
	}
	switch {
	case s.Value != nil:
		m.TargetValue = EncodeValue(*s.Value)
	case s.Variant != "":
		m.TargetValue = structpb.NewStringValue(s.Variant)
	}
	for _, run := range x.Progress.Runs {
		m.Runs = append(m.Runs, &hoistv1.ScheduleRun{Due: instant(run.At), At: millis(run.Time), Revision: run.Revision, Skipped: int32(run.Skipped), Why: run.Why})
	}
	return m
}

// instant reads a time of a schedule; nothing for none.
func instant(text string) *timestamppb.Timestamp {
	at, err := time.Parse(fsm.InstantForm, text)
	if err != nil {
		return nil
	}
	return timestamppb.New(at)
}
