package transport

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

const approvalPath = configPath + "/approvals"

// approvalREST is the waiting room over plain HTTP. Promotions stand in it too.
type approvalREST struct{ rest }

func (s *Server) mountApprovals(d *routeTable) {
	a := approvalREST{rest{s}}
	d.rest("GET "+approvalPath, fsm.VerbReadConfig, a.index, asksLaw)
	d.rest("POST "+approvalPath+"/flags/{key}/toggle", fsm.OpenChange{}.Verb(), a.toggle)
	d.rest("GET "+approvalPath+"/{id}", fsm.VerbReadConfig, a.show, asksLaw)
	d.rest("POST "+approvalPath+"/{id}/{move}", fsm.OpenChange{}.Verb(), a.act, asksLaw)
}

// changeBody is the record of something that waits.
type changeBody struct {
	ID                string           `json:"id"`
	RequesterID       string           `json:"requesterId"`
	RequesterEmail    string           `json:"requesterEmail"`
	ChangeType        string           `json:"changeType"`
	TargetID          string           `json:"targetId"`
	Environment       string           `json:"environment"`
	CurrentValue      jsontext.Value   `json:"currentValue"`
	ProposedValue     jsontext.Value   `json:"proposedValue"`
	Status            fsm.ChangeStatus `json:"status"`
	Title             string           `json:"title"`
	Justification     string           `json:"justification"`
	Targets           []string         `json:"targets"`
	Approvals         []approvalBody   `json:"approvals"`
	RequiredApprovals int              `json:"requiredApprovals"`
	BaseRevision      uint64           `json:"baseRevision"`
	DiffHash          string           `json:"diffHash"`
	ScheduledAt       *string          `json:"scheduledAt"`
	CreatedAt         string           `json:"createdAt"`
	AppliedAt         *string          `json:"appliedAt"`
	Reason            string           `json:"reason,omitempty"`
	CorrelationID     string           `json:"correlationId"`
	ObjectRevision    uint64           `json:"objectRevision"`
	Epoch             string           `json:"epoch,omitempty"`
	Revision          uint64           `json:"revision,omitzero"`
}

func changeBodyOf(env *fsm.Environment, c *fsm.Change) changeBody {
	b := changeBody{ID: c.ID, RequesterID: c.Author.ID, RequesterEmail: c.Author.Email, Environment: env.Key(), Status: c.Status,
		Title: c.Title, Justification: c.Notes, Targets: []string{}, Approvals: consents(c.Approvals), RequiredApprovals: c.Required,
		BaseRevision: c.Base, DiffHash: c.Hash, ScheduledAt: instantOrNull(c.NotBefore), CreatedAt: instant(c.CreatedAt),
		AppliedAt: instantOrNull(c.ExecutedAt), Reason: c.Cause, CorrelationID: c.Correlation, ObjectRevision: c.Revision,
		CurrentValue: jsontext.Value("null"), ProposedValue: jsontext.Value("null"), ChangeType: strings.ToUpper(string(c.Kind))}
	commands := c.Commands()
	for _, command := range commands {
		p := proposed(env, c, command)
		b.Targets = append(b.Targets, p.GetKind()+"/"+p.GetKey())
	}
	if len(commands) > 1 {
		b.ChangeType = "BATCH"
	}
	if len(commands) == 1 {
		b.TargetID = proposed(env, c, commands[0]).GetKey()
		b.ChangeType, b.CurrentValue, b.ProposedValue = single(env, c, commands[0])
	}
	return b
}

// single says of one command what it changes from what to what, in the words of approvals.
func single(env *fsm.Environment, c *fsm.Change, command fsm.Command) (name string, current, wanted jsontext.Value) {
	item := proposed(env, c, command)
	value := func(record []byte) jsontext.Value {
		if record == nil {
			return jsontext.Value("null")
		}
		return record
	}
	current, wanted = value(item.GetBefore()), value(item.GetAfter())
	switch command := command.(type) {
	case fsm.PutFlag:
		if command.Flag.Kind == evaluator.KindConfig {
			return "CONFIG_UPDATE", memberOf(current, "value"), memberOf(wanted, "value")
		}
		return "FLAG_UPDATE", current, wanted
	case fsm.SetEnabled:
		enabled := jsontext.Value("false")
		if slices.Equal(memberOf(current, "enabled"), []byte("true")) {
			enabled = jsontext.Value("true")
		}
		wanted = evaluator.Bool(command.Enabled).AppendJSON(nil)
		return "FLAG_TOGGLE", enabled, wanted
	}
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(command.Verb())), current, wanted
}

func memberOf(record jsontext.Value, name string) jsontext.Value {
	for _, m := range membersOf(record) {
		if m.name == name {
			return m.value
		}
	}
	return jsontext.Value("null")
}

func (a approvalREST) index(_ context.Context, r *call) (*reply, error) {
	q := r.http.URL.Query()
	size, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	out := struct {
		Items      []changeBody `json:"items"`
		NextCursor string       `json:"nextCursor,omitempty"`
	}{Items: []changeBody{}}
	all := changesOf(r.state, r.who)
	from := slices.IndexFunc(all, func(w waiting) bool { return pageToken(w.change.ID) == q.Get("cursor") }) + 1
	for _, w := range all[from:] {
		if status := q.Get("status"); status != "" && !strings.EqualFold(status, string(w.change.Status)) ||
			q.Get("environment") != "" && q.Get("environment") != w.env.Key() {
			continue
		}
		if len(out.Items) == size {
			out.NextCursor = pageToken(out.Items[size-1].ID)
			break
		}
		out.Items = append(out.Items, changeBodyOf(w.env, w.change))
	}
	return replyJSON(out, &reply{})
}

func (a approvalREST) show(_ context.Context, r *call) (*reply, error) {
	return a.rendered(r, r.http.PathValue("id"), nil)
}

func (a approvalREST) rendered(r *call, id string, receipt *hoistv1.Receipt) (*reply, error) {
	state := a.cfg.Store.State()
	env, c, err := a.change(state, r.who, id)
	if err != nil {
		return nil, err
	}
	c = writtenBy(c, receipt)
	b := changeBodyOf(env, c)
	b.Epoch, b.Revision = state.Epoch(), state.Index()
	if receipt != nil {
		b.Revision = receipt.GetRevision()
	}
	return replyJSON(b, &reply{object: c.Revision, receipt: receipt})
}

// config asks for another value of a config.
func (a approvalREST) config(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		ProposedValue jsontext.Value `json:"proposedValue"`
		Justification string         `json:"justification"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	if in.ProposedValue == nil {
		return nil, fsm.Problems{{Field: "/proposedValue", Code: "command.required", Message: "say which value the config shall have"}}
	}
	if err := r.who.may(right{verb: fsm.OpenChange{}.Verb()}, r.scope.Environment); err != nil {
		return nil, err
	}
	configs := collection{a.rest, configPath + "/configs", fsm.ObjectFlag, evaluator.KindConfig}
	_, record, err := configs.record(r.state, r.scope, r.key)
	if err != nil {
		return nil, err
	}
	flag, value := record.Flag(), evaluator.Value{}
	if err := value.UnmarshalJSON(in.ProposedValue); err != nil {
		return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "proposedValue", Detail: err.Error(), Err: err}
	}
	flag.Value = &value
	return a.open(ctx, r, "change "+r.key, in.Justification, fsm.PutFlag{Scope: r.scope, Flag: flag})
}

// toggle asks for a flag to be switched to the other side.
func (a approvalREST) toggle(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		Justification string `json:"justification"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	flags := collection{a.rest, configPath + "/feature-flags", fsm.ObjectFlag, evaluator.KindFlag}
	_, record, err := flags.record(r.state, r.scope, r.key)
	if err != nil {
		return nil, err
	}
	return eitherWay(!record.Flag().Enabled, func(enabled bool) (*reply, error) {
		title := "disable " + r.key
		if enabled {
			title = "enable " + r.key
		}
		return a.open(ctx, r, title, in.Justification, fsm.SetEnabled{Scope: r.scope, Key: r.key, Enabled: enabled})
	})
}

func (a approvalREST) open(ctx context.Context, r *call, title, why string, command fsm.Command) (*reply, error) {
	receipt, err := a.write(ctx, r.who, fsm.OpenChange{Scope: r.scope, Title: title, Notes: why, Commands: []fsm.Command{command}}, r.opts)
	if err != nil || receipt.GetDryRun() {
		return &reply{receipt: receipt, body: []byte("{}")}, err
	}
	out, err := a.rendered(r, receipt.GetChangeId(), receipt)
	if err == nil {
		out.status, out.location = http.StatusCreated, approvalPath+"/"+receipt.GetChangeId()
	}
	return out, err
}

// act is one move of what waits. config is no id: below it are the configs whose change is asked for.
func (a approvalREST) act(ctx context.Context, r *call) (*reply, error) {
	id, name := r.http.PathValue("id"), r.http.PathValue("move")
	if id == "config" {
		r.key = name
		return a.config(ctx, r)
	}
	if !slices.Contains([]string{"approve", "reject", "request-changes", "apply", "schedule", "cancel"}, name) {
		return nil, &fsm.Error{Kind: fsm.KindNotFound, Detail: "there is nothing here; what waits is approved, rejected, applied, scheduled, cancelled, or sent back by request-changes"}
	}
	_, c, err := a.change(r.state, r.who, id)
	if err != nil {
		return nil, err
	}
	move, err := moveBody(r.body, name)
	if err != nil {
		return nil, err
	}
	move.ID, move.Move = id, fsm.ChangeMove(name)
	if name == "approve" && move.Hash == "" {
		move.Hash = c.Hash
	}
	receipt, err := a.moveOf(ctx, r.who, move, r.opts)
	if err != nil {
		return nil, err
	}
	return a.rendered(r, id, receipt)
}
