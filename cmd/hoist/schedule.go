package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/rollout"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) scheduleCommand() *cobra.Command {
	return noun("schedule", "Change what a flag serves at given times, beside its declaration", "  hoist flag schedule list", []string{"schedules"},
		a.scheduleCreateCommand(), a.scheduleListCommand(), a.scheduleGetCommand(),
		a.scheduleMoveCommand("pause", "Let a schedule do nothing until it is resumed", "paused", nil),
		a.scheduleMoveCommand("resume", "Let a paused schedule go on, or one that a kill suspended", "goes on", nil),
		a.scheduleMoveCommand("delete", "End a schedule; the flag serves its declaration again", "ended", []string{"cancel", "rm"}),
	)
}

// scheduleOptions are the flags of create.
type scheduleOptions struct {
	name, rule, value, percent, at, until, cron, zone string
	enable, disable, land                             bool
	metadata                                          []string
}

func (a *app) scheduleCreateCommand() *cobra.Command {
	o := &scheduleOptions{}
	var w *writing
	c := &cobra.Command{
		Use: "create FLAG", Short: "Schedule a change of what a flag serves",
		Long: `Schedule a change of what a flag serves: at a time (--at), from a time to another (--at and --until), or as often as a cron line says
(--cron). The declaration stays as it is written; deleting the schedule, or the end of a window, gives it back. Times are RFC 3339, or what
the clocks of --timezone show. A time they leave out in spring means the end of the gap, one they show twice in autumn its first showing.

--land writes the declaration instead, once.`,
		Example: `  hoist flag schedule create new-checkout --enable --at 2026-12-24T18:00 --timezone Europe/Berlin
  hoist flag schedule create banner --enable --at 2026-11-27T00:00:00Z --until 2026-11-30T00:00:00Z --name "black friday"
  hoist flag schedule create search-v2 --percentage 25 --cron "0 9 * * 1-5" --timezone America/New_York
  hoist flag schedule create query.timeout --value 60s --at 2026-12-01T03:00:00Z --land`,
		Args: takes("FLAG"),
	}
	f := c.Flags()
	f.BoolVar(&o.enable, "enable", false, "the flag is enabled")
	f.BoolVar(&o.disable, "disable", false, "the flag is disabled")
	f.StringVar(&o.value, "value", "", "it serves this variant; a config has this value")
	f.StringVar(&o.percent, "percentage", "", "this share of people, in percent, gets the on variant, or the one of --value")
	f.StringVar(&o.at, "at", "", "when")
	f.StringVar(&o.until, "until", "", "the end of a window, or of what --cron means")
	f.StringVar(&o.cron, "cron", "", "minute, hour, day of month, month, day of week")
	f.StringVar(&o.zone, "timezone", "", "IANA name of the zone whose clocks count, for example Europe/Berlin")
	f.StringVar(&o.name, "name", "", "what people call it")
	f.StringVar(&o.rule, "rule", "", "id of the rule whose result it replaces, instead of the default")
	f.BoolVar(&o.land, "land", false, "one-time: write the declaration")
	f.StringArrayVar(&o.metadata, "metadata", nil, "NAME=TEXT kept with it; repeat for more")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		schedule, err := o.schedule(cmd, args[0])
		if err != nil {
			return err
		}
		n, err := a.connect()
		if err != nil {
			return err
		}
		schedule.Environment = n.environment
		done, err := send(cmd.Context(), a, w, func(ctx context.Context, write *hoistv1.WriteOptions) (*hoistv1.ScheduleReceipt, error) {
			return n.schedules.Create(ctx, &hoistv1.CreateScheduleRequest{Schedule: schedule, Write: write})
		})
		if err != nil {
			return err
		}
		what := "schedule " + done.GetSchedule().GetId() + " of flag " + args[0]
		if next := done.GetSchedule().GetNext(); next != nil {
			what += ", due " + next.AsTime().Format(time.RFC3339) + ","
		}
		return a.report(cmd.Context(), n, w, done, view{message: done}, what+" made")
	}
	c, w = a.changing(a.completesFlags(c))
	return c
}

func (o *scheduleOptions) schedule(cmd *cobra.Command, flag string) (*hoistv1.Schedule, error) {
	m := &hoistv1.Schedule{Flag: flag, Name: o.name, Rule: o.rule, Cron: o.cron, Timezone: o.zone, Land: o.land, Metadata: map[string]string{}}
	var err error
	if m.Start, err = o.time(cmd, "at", o.at); err != nil {
		return nil, err
	}
	if m.End, err = o.time(cmd, "until", o.until); err != nil {
		return nil, err
	}
	if m.Start == nil && m.Cron == "" {
		return nil, usage(cmd, "--at or --cron is missing: when?")
	}
	for _, pair := range o.metadata {
		name, text, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usage(cmd, "--metadata %s is not NAME=TEXT", pair)
		}
		m.Metadata[name] = text
	}
	return m, o.action(cmd, m)
}

func (o *scheduleOptions) action(cmd *cobra.Command, m *hoistv1.Schedule) error {
	if o.value != "" {
		m.TargetValue = looseValue(o.value)
	}
	switch {
	case o.enable && !o.disable && o.value+o.percent == "":
		m.Action = "ENABLE"
	case o.disable && !o.enable && o.value+o.percent == "":
		m.Action = "DISABLE"
	case o.enable || o.disable:
		return usage(cmd, "one of --enable, --disable, --value and --percentage says what happens")
	case o.percent != "":
		share, err := strconv.ParseFloat(strings.TrimSuffix(o.percent, "%"), 64)
		if err != nil {
			return usage(cmd, "--percentage %s is not a share such as 12.5", o.percent)
		}
		m.Action, m.TargetPercentage = "SET_PERCENTAGE", share
	case o.value != "":
		m.Action = "SET_VALUE"
	default:
		return usage(cmd, "one of --enable, --disable, --value and --percentage is missing: what happens?")
	}
	return nil
}

// looseValue is JSON where the text is JSON, and text otherwise.
func looseValue(text string) *structpb.Value {
	v := &structpb.Value{}
	if v.UnmarshalJSON([]byte(text)) == nil {
		return v
	}
	return structpb.NewStringValue(text)
}

func (o *scheduleOptions) time(cmd *cobra.Command, option, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return timestamppb.New(at), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"} {
		shown, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if o.zone == "" {
			return nil, usage(cmd, "--%s %s does not say where: add --timezone, or an offset as in %sZ", option, text, text)
		}
		at, err := rollout.Local(shown, o.zone)
		if err != nil {
			return nil, usage(cmd, "--timezone: %v", err)
		}
		return timestamppb.New(at), nil
	}
	return nil, usage(cmd, "--%s %s is not a time such as 2026-12-24T18:00:00Z or 2026-12-24T18:00", option, text)
}

func (a *app) scheduleListCommand() *cobra.Command {
	request := &hoistv1.ListSchedulesRequest{}
	c := &cobra.Command{
		Use: "list [FLAG]", Aliases: []string{"ls"}, Short: "List the schedules of an environment", Args: between(0, "FLAG"),
		Example: "  hoist flag schedule list\n  hoist flag schedule list new-checkout --status waiting",
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			if request.Environment = n.environment; len(args) == 1 {
				request.Flag = args[0]
			}
			got, err := n.schedules.List(ctx, request)
			if err != nil {
				return err
			}
			v := view{message: got, header: []string{"ID", "FLAG", "WHAT", "WHEN", "STATUS", "NEXT", "NAME", "BY"}, wide: 2}
			for _, s := range got.GetSchedules() {
				v.names = append(v.names, "schedule/"+s.GetId())
				v.rows = append(v.rows, []string{s.GetId(), s.GetFlag(), scheduleWhat(s), scheduleWhen(s), s.GetStatus(), timeText(s.GetNext()), s.GetName(), actorText(s.GetCreatedBy())})
			}
			return a.show(v)
		},
	}
	c.Flags().StringVar(&request.Status, "status", "", "only waiting, active, paused, suspended or ended ones")
	return a.printing(a.scoped(c), listFormats...)
}

func scheduleWhat(s *hoistv1.Schedule) string {
	switch s.GetAction() {
	case "SET_VALUE":
		return "serve " + valueText(s.GetTargetValue())
	case "SET_PERCENTAGE":
		return strconv.FormatFloat(s.GetTargetPercentage(), 'f', -1, 64) + "% " + valueText(s.GetTargetValue())
	}
	return strings.ToLower(s.GetAction())
}

func scheduleWhen(s *hoistv1.Schedule) string {
	switch {
	case s.GetCron() != "":
		return strings.TrimSpace(s.GetCron() + " " + s.GetTimezone())
	case s.GetEnd() != nil:
		return timeText(s.GetStart()) + " to " + timeText(s.GetEnd())
	}
	return timeText(s.GetStart())
}

func (a *app) scheduleGetCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "get ID", Aliases: []string{"show"}, Short: "Show one schedule and what came of it", Example: "  hoist flag schedule get s42", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			s, err := n.schedules.Get(ctx, &hoistv1.GetScheduleRequest{Environment: n.environment, Id: args[0]})
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.showMessage(s)
			}
			fmt.Fprintf(a.stdout, "%s  flag %s in %s: %s, %s  %s, next %s\n", s.GetId(), s.GetFlag(), s.GetEnvironment(), scheduleWhat(s), scheduleWhen(s), s.GetStatus(), timeText(s.GetNext()))
			for _, run := range s.GetRuns() {
				line := fmt.Sprintf("  due %s  revision %d", timeText(run.GetDue()), run.GetRevision())
				if run.GetSkipped() > 0 {
					line += fmt.Sprintf("  skipped %d", run.GetSkipped())
				}
				fmt.Fprintln(a.stdout, strings.TrimRight(line+"  "+run.GetWhy(), " "))
			}
			return nil
		},
	}
	return a.printing(a.scoped(c), "table", "json", "yaml")
}

func (a *app) scheduleMoveCommand(verb, short, done string, aliases []string) *cobra.Command {
	var w *writing
	c := &cobra.Command{Use: verb + " ID", Aliases: aliases, Short: short, Example: "  hoist flag schedule " + verb + " s42", Args: takes("ID")}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		moved, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.ScheduleReceipt, error) {
			r := &hoistv1.ScheduleRequest{Environment: n.environment, Id: args[0], Write: o}
			switch verb {
			case "pause":
				return n.schedules.Pause(ctx, r)
			case "resume":
				return n.schedules.Resume(ctx, r)
			}
			return n.schedules.Delete(ctx, r)
		})
		if err != nil {
			return err
		}
		return a.report(cmd.Context(), n, w, moved, view{message: moved}, "schedule "+args[0]+" "+done)
	}
	c, w = a.changing(c)
	return c
}
