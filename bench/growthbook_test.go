package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/growthbook/growthbook-golang"
)

// booked are the same flags in the form of growthbook's payload.
func booked(q string) map[string]any {
	switch q {
	case "static":
		return map[string]any{"defaultValue": true}
	case "five-rules":
		var rules []any
		for _, country := range []string{"DE", "FR", "ES", "IT", "NL"} {
			rules = append(rules, map[string]any{"condition": map[string]any{"country": country}, "force": true})
		}
		return map[string]any{"defaultValue": false, "rules": rules}
	case "split":
		return map[string]any{"defaultValue": false, "rules": []any{map[string]any{
			"variations": []bool{true, false}, "weights": []float64{0.5, 0.5}, "hashAttribute": "id", "hashVersion": 2, "seed": "salt"}}}
	}
	var keys []string
	for i := range listed {
		keys = append(keys, fmt.Sprint("user-", i))
	}
	return map[string]any{"defaultValue": false, "rules": []any{map[string]any{
		"condition": map[string]any{"id": map[string]any{"$in": keys}}, "force": true}}}
}

func growthBook(b *testing.B, q question, size int) {
	features := map[string]any{}
	for i := range size {
		features[fmt.Sprint("flag-", i)] = map[string]any{"defaultValue": false}
	}
	key := asked(size)
	features[key] = booked(q.name)
	payload, err := json.Marshal(features)
	if err != nil {
		b.Fatal(err)
	}
	// Attributes belong to a client, so making one is part of asking about a user; it is left out here.
	client, err := growthbook.NewClient(context.Background(), growthbook.WithJsonFeatures(string(payload)),
		growthbook.WithAttributes(growthbook.Attributes{"id": "user-9999", "country": "NL", "plan": "pro"}))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	if r := client.EvalFeature(ctx, key); r.Value == nil || q.want != nil && r.On != *q.want {
		b.Fatalf("answers %+v", r)
	}
	b.ReportAllocs()
	for b.Loop() {
		client.EvalFeature(ctx, key)
	}
}
