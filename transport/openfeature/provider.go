package openfeature

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport/client"
)

// startWait bounds the start when the SDK brings no context.
const startWait = 10 * time.Second

// Provider evaluates flags of one environment. The SDK starts and stops it; it may be started again afterwards.
type Provider struct {
	cfg    client.Config
	events chan openfeature.Event
	client atomic.Pointer[client.Client] // nil before the start and after the stop

	mu   sync.Mutex
	stop func() // ends what the last start began
}

var (
	_ openfeature.FeatureProvider          = (*Provider)(nil)
	_ openfeature.ContextAwareStateHandler = (*Provider)(nil)
	_ openfeature.EventHandler             = (*Provider)(nil)
)

// NewProvider returns a provider that has not started.
func NewProvider(cfg client.Config) *Provider {
	return &Provider{cfg: cfg, events: make(chan openfeature.Event, 16)}
}

// Metadata names the provider.
func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "hoist"} }

// Hooks are none: client.Config.Hooks hear of evaluations.
func (p *Provider) Hooks() []openfeature.Hook { return nil }

// EventChannel carries READY, STALE, CONFIGURATION_CHANGED with the touched flags, and ERROR.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

// Init is InitWithContext for at most 10 s.
func (p *Provider) Init(about openfeature.EvaluationContext) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	return p.InitWithContext(ctx, about)
}

// InitWithContext follows the environment and waits until there is something to serve.
func (p *Provider) InitWithContext(ctx context.Context, _ openfeature.EvaluationContext) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		return nil // the same provider under two names
	}
	c, err := client.Open(ctx, p.cfg)
	if err != nil {
		return err
	}
	life, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.report(life, c) })
	p.client.Store(c)
	p.stop = func() { cancel(); running.Wait() }
	return nil
}

// Shutdown is ShutdownWithContext without a context.
func (p *Provider) Shutdown() {
	_ = p.ShutdownWithContext(context.Background()) // the interface leaves nobody to tell
}

// ShutdownWithContext stops following and saves the cache file; it takes at most 5 s.
func (p *Provider) ShutdownWithContext(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.client.Swap(nil)
	if c == nil {
		return nil
	}
	p.stop()
	p.stop = nil
	return c.Close()
}

// report passes events on until ctx ends. The first READY is left to the SDK, which sends it when the start is over.
func (p *Provider) report(ctx context.Context, c *client.Client) {
	first := true
	for e := range c.Events(ctx) {
		out := openfeature.Event{ProviderName: p.Metadata().Name, EventType: eventType(e.Kind)}
		if e.Kind == client.EventReady && first {
			first = false
			continue
		}
		first = first && e.Kind != client.EventStale
		out.FlagChanges = e.Flags
		if e.Err != nil {
			out.Message, out.ErrorCode = e.Err.Error(), openfeature.GeneralCode
		}
		out.EventMetadata = map[string]any{"hoist.revision": e.Revision}
		select {
		case p.events <- out:
		case <-ctx.Done():
			return
		}
	}
}

func eventType(kind client.EventKind) openfeature.EventType {
	switch kind {
	case client.EventReady:
		return openfeature.ProviderReady
	case client.EventStale:
		return openfeature.ProviderStale
	case client.EventChanged:
		return openfeature.ProviderConfigChange
	default:
		return openfeature.ProviderError
	}
}

// BooleanEvaluation implements openfeature.FeatureProvider.
func (p *Provider) BooleanEvaluation(_ context.Context, flag string, otherwise bool, about openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	return resolve(p, flag, otherwise, about, (*client.Client).BoolDetails)
}

// StringEvaluation implements openfeature.FeatureProvider.
func (p *Provider) StringEvaluation(_ context.Context, flag, otherwise string, about openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return resolve(p, flag, otherwise, about, (*client.Client).StringDetails)
}

// FloatEvaluation implements openfeature.FeatureProvider.
func (p *Provider) FloatEvaluation(_ context.Context, flag string, otherwise float64, about openfeature.FlattenedContext) openfeature.FloatResolutionDetail {
	return resolve(p, flag, otherwise, about, (*client.Client).FloatDetails)
}

// IntEvaluation implements openfeature.FeatureProvider.
func (p *Provider) IntEvaluation(_ context.Context, flag string, otherwise int64, about openfeature.FlattenedContext) openfeature.IntResolutionDetail {
	return resolve(p, flag, otherwise, about, (*client.Client).IntDetails)
}

// ObjectEvaluation implements openfeature.FeatureProvider. Objects are map[string]any.
func (p *Provider) ObjectEvaluation(_ context.Context, flag string, otherwise any, about openfeature.FlattenedContext) openfeature.InterfaceResolutionDetail {
	d := resolve(p, flag, evaluator.Value{}, about, (*client.Client).ObjectDetails)
	out := openfeature.InterfaceResolutionDetail{Value: otherwise, ProviderResolutionDetail: d.ProviderResolutionDetail}
	if d.Value.Kind() == evaluator.KindObject {
		out.Value = plain(d.Value)
	}
	return out
}

// resolve asks the client and says it in the words of OpenFeature.
func resolve[T any](p *Provider, flag string, otherwise T, about openfeature.FlattenedContext,
	ask func(*client.Client, string, T, *evaluator.Context) client.Details[T]) openfeature.GenericResolutionDetail[T] {
	out := openfeature.GenericResolutionDetail[T]{Value: otherwise}
	c := p.client.Load()
	if c == nil {
		out.Reason = openfeature.ErrorReason
		out.ResolutionError = openfeature.NewProviderNotReadyResolutionError("the provider has not started")
		return out
	}
	who, err := contextOf(about)
	if err != nil {
		out.Reason, out.ResolutionError = openfeature.ErrorReason, openfeature.NewInvalidContextResolutionError(err.Error())
		return out
	}
	d := ask(c, flag, otherwise, who)
	out.Value, out.Variant, out.Reason = d.Value, d.Variant, openfeature.Reason(d.Reason)
	if d.ErrorCode != "" {
		out.ResolutionError = resolutionError(d.ErrorCode, d.Detail)
		return out
	}
	out.FlagMetadata = metadata(d.Metadata, d.RuleID, d.Label, d.Revision)
	return out
}

func resolutionError(code evaluator.ErrorCode, detail string) openfeature.ResolutionError {
	switch code {
	case evaluator.ErrorFlagNotFound:
		return openfeature.NewFlagNotFoundResolutionError(detail)
	case evaluator.ErrorTypeMismatch:
		return openfeature.NewTypeMismatchResolutionError(detail)
	case evaluator.ErrorTargetingKeyMissing:
		return openfeature.NewTargetingKeyMissingResolutionError(detail)
	case evaluator.ErrorInvalidContext:
		return openfeature.NewInvalidContextResolutionError(detail)
	case evaluator.ErrorProviderNotReady:
		return openfeature.NewProviderNotReadyResolutionError(detail)
	default:
		return openfeature.NewGeneralResolutionError(detail)
	}
}
