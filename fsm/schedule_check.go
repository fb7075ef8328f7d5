package fsm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
)

// Bounds of one schedule, and of the schedules of one flag.
const (
	maxLevels    = 256
	maxMetadata  = 16
	maxSchedules = 64 // that people made, per flag
	maxCron      = 128
)

// Check returns what can be judged about a schedule without its flag.
func (s *Schedule) Check() evaluator.Problems {
	var problems evaluator.Problems
	for _, p := range checkSchedule(s) {
		p.Field = strings.TrimPrefix(p.Field, "/schedule")
		problems = append(problems, p)
	}
	return problems
}

func checkSchedule(s *Schedule) evaluator.Problems {
	if s == nil {
		return problem("/schedule", "command.required", "a schedule is required")
	}
	problems := checkKey("/schedule/flag", s.Flag)
	problems = append(problems, checkText("/schedule/salt", s.Salt, maxName)...)
	problems = append(problems, checkText("/schedule/by", s.By, maxName)...)
	problems = append(problems, checkText("/schedule/name", s.Name, maxName)...)
	if s.Rule != "" {
		problems = append(problems, checkKey("/schedule/rule", s.Rule)...)
	}
	if s.Hash != "" && s.Hash != evaluator.HashMurmur3 && s.Hash != evaluator.HashRoxMD5 {
		problems = append(problems, problem("/schedule/hash", "split.hash", fmt.Sprintf("hash %q is unknown", s.Hash))...)
	}
	if s.stated() {
		return append(problems, checkLevels(s)...)
	}
	problems = append(problems, checkAction(s)...)
	problems = append(problems, checkTimes(s)...)
	return append(problems, checkMetadata(s)...)
}

func checkLevels(s *Schedule) evaluator.Problems {
	problems := append(checkKey("/schedule/variant", s.Variant), checkKey("/schedule/base", s.Base)...)
	if s.Variant == s.Base {
		problems = append(problems, problem("/schedule/base", "schedule.base", "a schedule moves people from one variant to another")...)
	}
	if s.ID+s.Name+s.Start+s.End+s.Cron != "" || s.Land || s.Value != nil || s.Weight != 0 {
		problems = append(problems, problem("/schedule/action", "schedule.action", "times of its own need an action: ENABLE, DISABLE, SET_VALUE or SET_PERCENTAGE")...)
	}
	if len(s.Levels) == 0 || len(s.Levels) > maxLevels {
		problems = append(problems, problem("/schedule/levels", "schedule.levels", fmt.Sprintf("a schedule has 1 to %d levels", maxLevels))...)
	}
	for i, l := range s.Levels {
		field := fmt.Sprintf("/schedule/levels/%d", i)
		problems = append(problems, checkInstant(field+"/at", l.At)...)
		if i > 0 && l.At <= s.Levels[i-1].At {
			problems = append(problems, problem(field+"/at", "schedule.order", "the times of the levels rise")...)
		}
		problems = append(problems, checkWeight(field+"/weight", l.Weight)...)
	}
	return problems
}

func checkInstant(field, text string) evaluator.Problems {
	if t, err := time.Parse(InstantForm, text); err != nil || t.Format(InstantForm) != text {
		return problem(field, "schedule.at", fmt.Sprintf("%q is not a time like 2026-12-31T00:00:00.000Z", text))
	}
	return nil
}

func checkWeight(field string, weight int) evaluator.Problems {
	if weight < 0 || weight > int(All) {
		return problem(field, "weights.range", "a weight is 0 to 100000 (thousandths of a percent)")
	}
	return nil
}

func checkAction(s *Schedule) evaluator.Problems {
	var problems evaluator.Problems
	if !slices.Contains([]Action{ActionEnable, ActionDisable, ActionValue, ActionPercentage}, s.Action) {
		return problem("/schedule/action", "schedule.action", fmt.Sprintf("%q is not ENABLE, DISABLE, SET_VALUE or SET_PERCENTAGE", s.Action))
	}
	if len(s.Levels) > 0 {
		problems = append(problems, problem("/schedule/levels", "schedule.levels", "levels and an action do not go together")...)
	}
	switch {
	case s.Seat() == SeatEnabled && s.Rule != "":
		problems = append(problems, problem("/schedule/rule", "schedule.rule", "ENABLE and DISABLE are about the whole flag")...)
	case s.Action == ActionValue && s.Value == nil && s.Variant == "":
		problems = append(problems, problem("/schedule/targetValue", "schedule.value", "SET_VALUE needs the key of a variant, or the value of a config")...)
	case s.Action == ActionPercentage:
		problems = append(problems, checkWeight("/schedule/targetPercentage", s.Weight)...)
	}
	for field, key := range map[string]string{"/schedule/targetValue": s.Variant, "/schedule/base": s.Base} {
		if key != "" {
			problems = append(problems, checkKey(field, key)...)
		}
	}
	return problems
}

func checkTimes(s *Schedule) evaluator.Problems {
	var problems evaluator.Problems
	if s.Cron == "" || s.Start != "" {
		problems = append(problems, checkInstant("/schedule/startTime", s.Start)...)
	}
	if s.End != "" {
		problems = append(problems, checkInstant("/schedule/endTime", s.End)...)
		if s.End <= s.Start {
			problems = append(problems, problem("/schedule/endTime", "schedule.order", "the end is not after the start")...)
		}
	}
	problems = append(problems, checkText("/schedule/cron", s.Cron, maxCron)...)
	problems = append(problems, checkText("/schedule/timezone", s.Zone, maxName)...)
	if s.Cron != "" && len(strings.Fields(s.Cron)) != 5 {
		problems = append(problems, problem("/schedule/cron", "schedule.cron", "a cron line has five fields: minute, hour, day of month, month, day of week")...)
	}
	if s.Land && (s.Cron != "" || s.End != "") {
		problems = append(problems, problem("/schedule/land", "schedule.land", "only a one-time schedule can write the declaration; a window and a recurring one go back")...)
	}
	return problems
}

func checkMetadata(s *Schedule) evaluator.Problems {
	if len(s.Metadata) > maxMetadata {
		return problem("/schedule/metadata", "schedule.metadata", fmt.Sprintf("at most %d entries", maxMetadata))
	}
	var problems evaluator.Problems
	for _, key := range slices.Sorted(maps.Keys(s.Metadata)) {
		problems = append(problems, checkText("/schedule/metadata/"+key, key, maxName)...)
		problems = append(problems, checkText("/schedule/metadata/"+key, s.Metadata[key], maxReason)...)
	}
	return problems
}
