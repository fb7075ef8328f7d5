package transport

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// promotionService answers hoist.v1.PromotionService.
type promotionService struct{ *Server }

// promotion finds a promotion that the caller may read.
func (s *Server) promotion(state *fsm.State, who caller, id string) (*fsm.Environment, *fsm.Change, error) {
	env, c, err := s.change(state, who, id)
	if err == nil && c.Kind != fsm.ChangePromotion {
		err = &fsm.Error{Kind: fsm.KindNotFound, Op: "get promotion", Target: id, Detail: "it is a change, not a promotion; ask for it under approvals"}
	}
	return env, c, err
}

func (s promotionService) message(who caller, id string, receipt *hoistv1.Receipt) (*hoistv1.Promotion, error) {
	state := s.cfg.Store.State()
	env, c, err := s.promotion(state, who, id)
	if err != nil {
		return nil, err
	}
	c = writtenBy(c, receipt)
	m := wire.EncodePromotion(state, env, c, true)
	m.Items = changedItems(state, env, c)
	return m, nil
}

// openPromotion creates one for a caller of any door.
func (s *Server) openPromotion(ctx context.Context, who caller, c fsm.OpenPromotion, opts *hoistv1.WriteOptions) (*hoistv1.Receipt, *fsm.Change, error) {
	c.Tenant = who.tenant
	if err := s.endpoints(who, c); err != nil {
		return nil, nil, err
	}
	receipt, err := s.write(ctx, who, c, opts)
	if err != nil || receipt.GetDryRun() {
		return receipt, nil, err
	}
	env, err := environment(s.cfg.Store.State(), c.Scope)
	if err != nil {
		return nil, nil, err
	}
	opened, ok := env.Opened(receipt.GetRevision())
	if !ok {
		return nil, nil, &fsm.Error{Kind: fsm.KindNotFound, Op: c.Verb(), Target: c.Environment, Detail: "the promotion is no longer kept; create another"}
	}
	return receipt, opened, nil
}

// endpoints names the fields of environments that a promotion cannot have. A source is read, so the caller has to be
// allowed to.
func (s *Server) endpoints(who caller, c fsm.OpenPromotion) error {
	state := s.cfg.Store.State()
	var problems fsm.Problems
	for _, end := range []struct{ field, key string }{{"/sourceEnvironment", c.Source}, {"/targetEnvironment", c.Environment}} {
		message := ""
		if end.key == "" {
			message = "name an environment"
		} else if _, ok := state.Environment(who.tenant, end.key); !ok {
			message = "tenant " + who.tenant + " has no environment " + end.key
		}
		if message != "" {
			problems = append(problems, fsm.Problems{{Field: end.field, Code: "promotion.environment", Message: message}}...)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return who.may(right{verb: fsm.VerbReadConfig}, c.Source)
}

// Create implements hoistv1connect.PromotionServiceHandler.
func (s promotionService) Create(ctx context.Context, r *hoistv1.CreatePromotionRequest) (*hoistv1.CreatePromotionResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	c := fsm.OpenPromotion{Scope: fsm.Scope{Environment: r.GetTargetEnvironment()}, Source: r.GetSourceEnvironment(),
		Type: fsm.PromotionType(strings.ToUpper(r.GetPromotionType())), ConfigIDs: r.GetConfigIds(), FlagIDs: r.GetFlagIds(),
		KeyPatterns: r.GetKeyPatterns(), Notes: r.GetNotes()}
	receipt, opened, err := s.openPromotion(ctx, who, c, r.GetWrite())
	if err != nil || opened == nil {
		return &hoistv1.CreatePromotionResponse{Receipt: receipt}, err
	}
	if r.GetValidate() {
		follow := &hoistv1.WriteOptions{RequestId: partID(receipt.GetRequestId(), 0), Comment: r.GetWrite().GetComment()}
		if receipt, err = s.moveOf(ctx, who, fsm.MoveChange{ID: opened.ID, Move: fsm.ChangeMoveValidate}, follow); err != nil {
			return nil, err
		}
	}
	m, err := s.message(who, opened.ID, receipt)
	return &hoistv1.CreatePromotionResponse{Promotion: m, Warnings: opened.Promotion.Unused(), Receipt: receipt}, err
}

// Get implements hoistv1connect.PromotionServiceHandler.
func (s promotionService) Get(ctx context.Context, r *hoistv1.GetPromotionRequest) (*hoistv1.GetPromotionResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	m, err := s.message(who, r.GetId(), nil)
	return &hoistv1.GetPromotionResponse{Promotion: m, Position: s.position(s.cfg.Store.State())}, err
}

// promotionFilter says which promotions a list shows.
type promotionFilter struct {
	status, source, target, createdBy, flag string
	size                                    int
	cursor                                  string
}

func (f *promotionFilter) matches(state *fsm.State, w waiting) bool {
	c := w.change
	is := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	if c.Kind != fsm.ChangePromotion || !is(f.status, string(c.Status)) || !is(f.source, c.Promotion.Source) || !is(f.target, w.env.Key()) ||
		f.createdBy != "" && f.createdBy != c.Author.ID {
		return false
	}
	return f.flag == "" || slices.Contains(c.Promotion.FlagIDs, f.flag) || slices.Contains(c.Promotion.ConfigIDs, f.flag) ||
		slices.ContainsFunc(state.Items(w.env, c), func(i fsm.ChangeItem) bool { return i.Key == f.flag && i.Kind != fsm.ItemSegment })
}

// promotions is one page, the newest first.
func promotions(state *fsm.State, who caller, f promotionFilter) (page []waiting, next string) {
	all := changesOf(state, who)
	from := 0
	if at := slices.IndexFunc(all, func(w waiting) bool { return pageToken(w.change.ID) == f.cursor }); at >= 0 {
		from = at + 1
	}
	for _, w := range all[from:] {
		if !f.matches(state, w) {
			continue
		}
		if len(page) == f.size {
			return page, pageToken(page[len(page)-1].change.ID)
		}
		page = append(page, w)
	}
	return page, ""
}

func sortNewest(list []waiting) {
	slices.SortStableFunc(list, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(b.change.Created, a.change.Created), cmp.Compare(b.change.ID, a.change.ID))
	})
}

// List implements hoistv1connect.PromotionServiceHandler.
func (s promotionService) List(ctx context.Context, r *hoistv1.ListPromotionsRequest) (*hoistv1.ListPromotionsResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	page, next := promotions(state, who, promotionFilter{status: r.GetStatus(), source: r.GetSourceEnvironment(),
		target: r.GetTargetEnvironment(), createdBy: r.GetCreatedBy(), flag: r.GetFlag(), size: size, cursor: r.GetPageToken()})
	out := &hoistv1.ListPromotionsResponse{NextPageToken: next, Position: s.position(state)}
	for _, w := range page {
		out.Promotions = append(out.Promotions, wire.EncodePromotion(state, w.env, w.change, false))
	}
	return out, nil
}

// moveNamed is a move of a promotion as people call it.
func moveNamed(name string) fsm.ChangeMove {
	if name == "execute" {
		return fsm.ChangeMoveApply
	}
	return fsm.ChangeMove(name)
}

// Move implements hoistv1connect.PromotionServiceHandler.
func (s promotionService) Move(ctx context.Context, r *hoistv1.MovePromotionRequest) (*hoistv1.MovePromotionResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	receipt, err := s.moveOf(ctx, who, fsm.MoveChange{ID: r.GetId(), Move: moveNamed(r.GetMove()), Comment: r.GetComment(), Force: r.GetForce(),
		Hash: r.GetDiffHash(), At: unixMillis(r.GetScheduledAt()), Zone: r.GetTimezone()}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	m, err := s.message(who, r.GetId(), receipt)
	return &hoistv1.MovePromotionResponse{Promotion: m, Receipt: receipt}, err
}

// compared compares two environments that the caller may read.
func (s *Server) compared(state *fsm.State, who caller, source, target string) (*fsm.Comparison, error) {
	from, err := environment(state, who.scope(source))
	if err != nil {
		return nil, err
	}
	to, err := environment(state, who.scope(target))
	if err != nil {
		return nil, err
	}
	for _, key := range []string{source, target} {
		if err := who.may(right{verb: fsm.VerbReadConfig}, key); err != nil {
			return nil, err
		}
	}
	return fsm.Compare(from, to), nil
}

// Compare implements hoistv1connect.PromotionServiceHandler.
func (s promotionService) Compare(ctx context.Context, r *hoistv1.ComparePromotionRequest) (*hoistv1.ComparePromotionResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	c, err := s.compared(state, who, r.GetSourceEnvironment(), r.GetTargetEnvironment())
	if err != nil {
		return nil, err
	}
	out := &hoistv1.ComparePromotionResponse{Unchanged: int32(c.Unchanged), SourceRevision: c.SourceRevision,
		TargetRevision: c.TargetRevision, Position: s.position(state)}
	for _, e := range c.Entries {
		if shows(e, r.GetKind(), r.GetKeyPattern()) {
			out.Items = append(out.Items, changedItem(fsm.ChangeItem{Kind: e.Kind, Key: e.Key, Change: e.Change, Before: e.Target, After: e.Source}))
		}
	}
	return out, nil
}

func shows(e fsm.ItemDiff, kind, pattern string) bool {
	return (kind == "" || kind == string(e.Kind)) && (pattern == "" || fsm.MatchKey(pattern, e.Key))
}

// Drift implements hoistv1connect.PromotionServiceHandler.
func (s promotionService) Drift(ctx context.Context, r *hoistv1.DriftPromotionRequest) (*hoistv1.DriftPromotionResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	id := r.GetId()
	if id == "" {
		if id, err = s.lastInto(state, who, r.GetTargetEnvironment()); err != nil {
			return nil, err
		}
	}
	env, c, err := s.promotion(state, who, id)
	if err != nil {
		return nil, err
	}
	items, err := drifted(env, c)
	if err != nil {
		return nil, err
	}
	out := &hoistv1.DriftPromotionResponse{Id: id, Position: s.position(state)}
	for _, item := range items {
		out.Items = append(out.Items, changedItem(item))
	}
	return out, nil
}

func drifted(env *fsm.Environment, c *fsm.Change) ([]fsm.ChangeItem, error) {
	items, kept := env.Drift(c)
	if !kept {
		return nil, &fsm.Error{Kind: fsm.KindState, Op: "read drift", Target: "promotion " + c.ID, State: string(c.Status),
			Detail: "it is " + string(c.Status) + ": only a promotion that was executed, and is not too old to remember, can drift"}
	}
	return items, nil
}

func (s promotionService) lastInto(state *fsm.State, who caller, target string) (string, error) {
	env, err := environment(state, who.scope(target))
	if err != nil {
		return "", err
	}
	for _, c := range env.Changes() {
		if c.Kind == fsm.ChangePromotion && c.Status == fsm.ChangeCompleted {
			return c.ID, nil
		}
	}
	return "", &fsm.Error{Kind: fsm.KindNotFound, Op: "read drift", Target: "environment " + env.Key(), Detail: "nothing was promoted into it yet"}
}
