package transport_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// tomorrow is a calendar in which everything happens at midnight UTC; Berlin is an hour ahead.
type tomorrow struct{}

func (tomorrow) Next(cron, zone string, t time.Time) (time.Time, error) {
	switch {
	case strings.HasSuffix(zone, "Nowhere"):
		return t, errors.New("no such time zone")
	case len(strings.Fields(cron)) != 5:
		return t, errors.New("five fields")
	}
	return t.Add(24 * time.Hour).Truncate(24 * time.Hour), nil
}

func (tomorrow) Local(shown time.Time, zone string) (time.Time, error) {
	if zone == "Europe/Berlin" {
		return shown.Add(-time.Hour), nil
	}
	return shown, nil
}

func withCalendars(c *transport.Config) { c.Calendars = tomorrow{} }

// S1-16
func TestSchedulesOverREST(t *testing.T) {
	n := newNode(t)
	web, _ := serve(t, n, withCalendars)
	require.Equal(t, http.StatusCreated, post(t, web.URL+"/api/v1/config/feature-flags", flagBody).status)
	schedules := web.URL + "/api/v1/config/schedules"
	made := post(t, schedules+"/one-time", `{"flagId":"checkout","environment":"dev","name":"launch","action":"SET_VALUE","targetValue":false,
		"startTime":"2190-12-24T18:00","timezone":"Europe/Berlin","metadata":{"ticket":"7"}}`, "Idempotency-Key", "k", "X-User-ID", "ada")
	require.Equal(t, http.StatusCreated, made.status, made.body)
	id := field(t, made.body, "id").(string)
	require.Equal(t, "/api/v1/config/schedules/"+id, made.header.Get("Location"))
	require.Equal(t, "2190-12-24T17:00:00Z", field(t, made.body, "startTime"))
	require.Equal(t, "2190-12-24T17:00:00Z", field(t, made.body, "nextRun"))
	require.Equal(t, "off", field(t, made.body, "targetValue"), "a variant may be named by its value")
	require.Equal(t, "waiting", field(t, made.body, "status"))
	require.Equal(t, "ada", field(t, made.body, "createdBy", "id"))

	again := post(t, schedules+"/one-time", `{"flagId":"checkout","environment":"dev","name":"launch","action":"SET_VALUE","targetValue":false,
		"startTime":"2190-12-24T18:00","timezone":"Europe/Berlin","metadata":{"ticket":"7"}}`, "Idempotency-Key", "k", "X-User-ID", "ada")
	require.Equal(t, id, field(t, again.body, "id"), again.body)
	require.Equal(t, "true", again.header.Get("Idempotent-Replay"))

	require.Equal(t, "paused", field(t, post(t, schedules+"/"+id+"/pause", "").body, "status"))
	require.Equal(t, "waiting", field(t, post(t, schedules+"/"+id+"/resume", "").body, "status"))
	require.Len(t, field(t, do(t, "GET", schedules+"?flag=checkout&status=waiting", "").body, "items"), 1)
	require.Empty(t, field(t, do(t, "GET", schedules+"?flag=other", "").body, "items"))

	require.Equal(t, http.StatusOK, do(t, "DELETE", schedules+"/"+id, "", "Idempotency-Key", "d").status)
	require.Equal(t, http.StatusOK, do(t, "DELETE", schedules+"/"+id, "", "Idempotency-Key", "d").status, "a retry")
	require.Equal(t, http.StatusNotFound, do(t, "DELETE", schedules+"/"+id, "").status)
	require.Equal(t, http.StatusNotFound, do(t, "GET", schedules+"/"+id, "").status)
}

func TestNonsensicalScheduleBodiesNameTheirField(t *testing.T) {
	n := newNode(t)
	web, _ := serve(t, n, withCalendars)
	require.Equal(t, http.StatusCreated, post(t, web.URL+"/api/v1/config/feature-flags", flagBody).status)
	revision := n.store.State().DomainHash()
	for body, want := range map[string]string{
		`one-time {"flagId":"checkout","action":"ENABLE","startTime":"2001-01-01T00:00:00Z"}`:                                    "422 /startTime",
		`one-time {"flagId":"checkout","action":"ENABLE","startTime":"soon"}`:                                                    "422 /startTime",
		`one-time {"flagId":"checkout","action":"ENABLE"}`:                                                                       "422 /startTime",
		`one-time {"flagId":"checkout","action":"EXPLODE","startTime":"2190-01-01T00:00:00Z"}`:                                   "422 /action",
		`one-time {"flagId":"checkout","action":"SET_VALUE","targetValue":"none","startTime":"2190-01-01T00:00:00Z"}`:            "422 /targetValue",
		`one-time {"flagId":"checkout","action":"SET_PERCENTAGE","targetPercentage":12.3456,"startTime":"2190-01-01T00:00:00Z"}`: "422 /targetPercentage",
		`one-time {"flagId":"checkout","action":"ENABLE","targetPercentage":1,"startTime":"2190-01-01T00:00:00Z"}`:               "422 /targetPercentage",
		`one-time {"flagId":"none","action":"ENABLE","startTime":"2190-01-01T00:00:00Z"}`:                                        "404",
		`one-time {"flagId":"checkout","action":"ENABLE","startTime":"2190-01-01T00:00:00Z","environment":"moon"}`:               "404",
		`one-time {"flagId":"checkout","action":"ENABLE","startTime":"2190-01-01T00:00:00Z","cron":"0 1 * * *"}`:                 "422 /cron",
		`one-time {"nope":1}`: "400",
		`recurring {"flagId":"checkout","action":"ENABLE","cron":"nonsense"}`:                                                            "422 /cron",
		`recurring {"flagId":"checkout","action":"ENABLE","cron":"0 1 * * *","timezone":"Europe/Nowhere"}`:                               "422 /timezone",
		`window {"flagId":"checkout","action":"ENABLE","startTime":"2190-01-02T00:00:00Z","endTime":"2190-01-01T00:00:00Z"}`:             "422 /endTime",
		`window {"flagId":"checkout","action":"ENABLE","startTime":"2190-01-02T00:00:00Z","endTime":"2190-01-03T00:00:00Z","land":true}`: "422 /land",
	} {
		kind, text, _ := strings.Cut(body, " ")
		got := post(t, web.URL+"/api/v1/config/schedules/"+kind, text)
		status, at, _ := strings.Cut(want, " ")
		require.Equal(t, status, got.statusText(), "%s: %s", body, got.body)
		if at != "" {
			require.Equal(t, at, field(t, got.body, "errors").([]any)[0].(map[string]any)["field"], "%s: %s", body, got.body)
		}
		require.Equal(t, revision, n.store.State().DomainHash(), "bad input stores nothing")
	}
}

func (a answer) statusText() string { return strconv.Itoa(a.status) }

func TestSchedulesOverConnect(t *testing.T) {
	n := newNode(t)
	n.put(t, flagBody)
	web, _ := serve(t, n, withCalendars)
	client := hoistv1connect.NewScheduleServiceClient(http.DefaultClient, web.URL)
	made, err := client.Create(t.Context(), &hoistv1.CreateScheduleRequest{Schedule: &hoistv1.Schedule{Flag: "checkout", Action: "SET_PERCENTAGE",
		TargetPercentage: 2.5, Cron: "0 9 * * 1-5", Timezone: "Europe/Berlin"}})
	require.NoError(t, err)
	require.Equal(t, "waiting", made.GetSchedule().GetStatus())
	require.InDelta(t, 2.5, made.GetSchedule().GetTargetPercentage(), 1e-9)
	id := made.GetSchedule().GetId()
	got, err := client.Get(t.Context(), &hoistv1.GetScheduleRequest{Id: id})
	require.NoError(t, err)
	require.Equal(t, "0 9 * * 1-5", got.GetCron())
	paused, err := client.Pause(t.Context(), &hoistv1.ScheduleRequest{Id: id})
	require.NoError(t, err)
	require.Equal(t, "paused", paused.GetSchedule().GetStatus())
	_, err = client.Delete(t.Context(), &hoistv1.ScheduleRequest{Id: id})
	require.NoError(t, err)
	list, err := client.List(t.Context(), &hoistv1.ListSchedulesRequest{})
	require.NoError(t, err)
	require.Empty(t, list.GetSchedules())
}
