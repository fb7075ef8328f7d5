package evaluator_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

// unleashExclusions names the cases in which a hash decides; the test proves that these are all of them.
func unleashExclusions() []exclusion {
	const bucketing = "needs the suite's own hash (murmur3 of group:id, modulo 100 or the sum of weights)"
	return []exclusion{
		{file: "03-gradual-rollout-user-id-strategy.json", text: "Feature.B3 should be enabled for userId=122", reason: bucketing},
		{file: "03-gradual-rollout-user-id-strategy.json", text: "Feature.B3 should be disabled for userId=155", reason: bucketing},
		{file: "04-gradual-rollout-session-id-strategy.json", text: "Feature.B4 should be enabled for sessionId=122", reason: bucketing},
		{file: "04-gradual-rollout-session-id-strategy.json", text: "Feature.B4 should be disabled for sessionId=155", reason: bucketing},
		{file: "08-variants.json", text: "Feature.Variants.B should give", reason: bucketing},
		{file: "08-variants.json", text: "Feature.Variants.C should return", reason: bucketing},
		{file: "08-variants.json", text: "Feature.Variants.D should return", reason: bucketing},
		{file: "08-variants.json", text: "override.D should return variant2 for user 388", reason: bucketing},
		{file: "10-flexible-rollout-strategy.json", text: "flexibleRollout.10 should be", reason: bucketing},
		{file: "10-flexible-rollout-strategy.json", text: "flexibleRollout.userId.55 should be enabled for userId=25", reason: bucketing},
		{file: "10-flexible-rollout-strategy.json", text: "flexibleRollout.sessionId.42 should be enabled for sessionId=147", reason: bucketing},
		{file: "12-custom-stickiness.json", text: "customField=", reason: bucketing},
		{file: "15-global-constraints.json", text: "customField=616 yields green", reason: bucketing},
		{file: "16-strategy-variants.json", text: "multiple.variants should choose", reason: bucketing},
		{file: "16-strategy-variants.json", text: "numeric.variants should choose second variant", reason: bucketing},
		{file: "16-strategy-variants.json", text: "should inherit stickiness from the strategy", reason: bucketing},
	}
}

type unleashFile struct {
	State struct {
		unleashState
		Events []struct {
			Type      string           `json:"type"`
			Features  []unleashFeature `json:"features"`
			Segments  []unleashSegment `json:"segments"`
			Feature   unleashFeature   `json:"feature"`
			Segment   unleashSegment   `json:"segment"`
			Name      string           `json:"featureName"`
			SegmentID int              `json:"segmentId"`
		} `json:"events"`
	} `json:"state"`
	Tests []struct {
		Description string         `json:"description"`
		Context     map[string]any `json:"context"`
		ToggleName  string         `json:"toggleName"`
		Expected    bool           `json:"expectedResult"`
	} `json:"tests"`
	VariantTests []struct {
		Description string         `json:"description"`
		Context     map[string]any `json:"context"`
		ToggleName  string         `json:"toggleName"`
		Expected    struct {
			Name    string `json:"name"`
			Payload *struct {
				Value string `json:"value"`
			} `json:"payload"`
			FeatureEnabled bool `json:"feature_enabled"`
		} `json:"expectedResult"`
	} `json:"variantTests"`
}

type unleashState struct {
	Features []unleashFeature `json:"features"`
	Segments []unleashSegment `json:"segments"`
}

type unleashFeature struct {
	Name         string            `json:"name"`
	Enabled      bool              `json:"enabled"`
	Strategies   []unleashStrategy `json:"strategies"`
	Variants     []unleashVariant  `json:"variants"`
	Dependencies []struct {
		Feature  string   `json:"feature"`
		Enabled  *bool    `json:"enabled"`
		Variants []string `json:"variants"`
	} `json:"dependencies"`
}

type unleashStrategy struct {
	Name        string              `json:"name"`
	Parameters  map[string]any      `json:"parameters"`
	Constraints []unleashConstraint `json:"constraints"`
	Segments    []int               `json:"segments"`
	Variants    []unleashVariant    `json:"variants"`
}

type unleashConstraint struct {
	ContextName string   `json:"contextName"`
	Operator    string   `json:"operator"`
	Values      []string `json:"values"`
	Value       string   `json:"value"`
	Inverted    bool     `json:"inverted"`
	IgnoreCase  bool     `json:"caseInsensitive"`
}

type unleashVariant struct {
	Name    string `json:"name"`
	Weight  int    `json:"weight"`
	Payload *struct {
		Value string `json:"value"`
	} `json:"payload"`
	Stickiness string `json:"stickiness"`
	Overrides  []struct {
		ContextName string   `json:"contextName"`
		Values      []string `json:"values"`
	} `json:"overrides"`
}

type unleashSegment struct {
	ID          int                 `json:"id"`
	Constraints []unleashConstraint `json:"constraints"`
}

// settled returns the state after all events: a full snapshot, then updates and removals in their order.
func (f *unleashFile) settled() unleashState {
	state := f.State.unleashState
	for _, e := range f.State.Events {
		switch e.Type {
		case "hydration":
			state = unleashState{Features: e.Features, Segments: e.Segments}
		case "feature-updated", "feature-removed":
			name := e.Name + e.Feature.Name
			state.Features = slices.DeleteFunc(slices.Clone(state.Features), func(x unleashFeature) bool { return x.Name == name })
			if e.Type == "feature-updated" {
				state.Features = append(state.Features, e.Feature)
			}
		case "segment-updated", "segment-removed":
			id := e.SegmentID + e.Segment.ID
			state.Segments = slices.DeleteFunc(slices.Clone(state.Segments), func(x unleashSegment) bool { return x.ID == id })
			if e.Type == "segment-updated" {
				state.Segments = append(state.Segments, e.Segment)
			}
		}
	}
	return state
}

func unleashContext(t *testing.T, context map[string]any) *evaluator.Context {
	attributes := map[string]any{}
	for name, v := range context {
		if properties, ok := v.(map[string]any); ok && name == "properties" {
			maps.Copy(attributes, properties)
		} else {
			attributes[name] = v
		}
	}
	for _, name := range []string{"sessionId", "userId"} {
		if v, ok := attributes[name]; ok {
			attributes[stickinessName] = v
		}
	}
	return parseContext(t, string(toJSON(t, attributes)))
}

func TestUnleashSuite(t *testing.T) {
	dir := sharedData(t, "conformance/unleash-spec")
	var counts struct {
		Files map[string]struct{ Tests, VariantTests int }
	}
	data, err := os.ReadFile(filepath.Join(dir, "counts.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &counts))
	y := newTally(unleashExclusions())
	want := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(counts.Files)) {
		want[name] = counts.Files[name].Tests + counts.Files[name].VariantTests
		var file unleashFile
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &file))
		unleashRun(t, y, name, &file)
	}
	y.check(t, want)
}

func unleashRun(t *testing.T, y *tally, name string, file *unleashFile) {
	m := unleashImport{state: file.settled()}
	for _, f := range m.state.Features {
		m.feature(f)
	}
	snapshot, refused := compileAll(t, m.flags, nil)
	require.Empty(t, refused)
	// Where a hash decides, the case is excluded by name; everywhere else it runs.
	excluded := func(t *testing.T, description string, results ...evaluator.Result) bool {
		hashed := slices.ContainsFunc(results, func(r evaluator.Result) bool { return r.Reason == evaluator.ReasonSplit })
		require.Equal(t, hashed, y.excluded(name, description) != nil, "%s/%s: excluded exactly when a hash decides", name, description)
		return hashed
	}
	for _, c := range file.Tests {
		r := snapshot.Evaluate(unleashKey(c.ToggleName), unleashContext(t, c.Context))
		if !excluded(t, c.Description, r) {
			t.Run(name+"/"+c.Description, func(t *testing.T) { require.Equal(t, c.Expected, r.Value.AsBool(), "%+v", r) })
		}
	}
	for _, c := range file.VariantTests {
		on := snapshot.Evaluate(unleashKey(c.ToggleName), unleashContext(t, c.Context))
		r := snapshot.Evaluate(unleashKey(c.ToggleName)+".variant", unleashContext(t, c.Context))
		if excluded(t, c.Description, on, r) {
			continue
		}
		t.Run(name+"/"+c.Description, func(t *testing.T) {
			require.Equal(t, c.Expected.FeatureEnabled, on.Value.AsBool())
			if r.ErrorCode == evaluator.ErrorFlagNotFound {
				r.Variant = "disabled"
			}
			require.Equal(t, c.Expected.Name, r.Variant)
			if c.Expected.Payload != nil {
				require.Equal(t, c.Expected.Payload.Value, r.Value.AsString())
			}
		})
	}
}
