package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

func (a *app) benchConnectCommand() *cobra.Command {
	q := &asking{}
	c := &cobra.Command{
		Use: "connect", Short: "Evaluate one flag through EvaluationService, in protobuf and in JSON",
		Long: `Call hoist.v1.EvaluationService/Evaluate over the Connect protocol, in both of its encodings, about a constant flag of an in-memory node of
this process, or about --flag of the hoist server of --url. The base of --compare-baseline is that of "hoist bench ofrep".`,
		Example: `  hoist bench connect --compare-baseline
  hoist bench connect --url http://127.0.0.1:7700 --env production --flag new-checkout`, Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.check(cmd); err != nil {
				return err
			}
			if q.url != "" && len(q.keys) != 1 {
				return usage(cmd, "--url needs one --flag to ask about")
			}
			return a.benchConnect(cmd.Context(), q)
		},
	}
	q.register(c, 1000)
	c.Flags().StringSliceVar(&q.keys, "flag", []string{"static"}, "flag to ask about")
	return a.printing(c, "table", "json", "yaml")
}

func (a *app) benchConnect(ctx context.Context, q *asking) (err error) {
	at, stop, err := q.open(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var binary, text [][]byte
	for _, body := range q.bodies() {
		m, err := evaluateRequest(body, q)
		if err != nil {
			return err
		}
		b, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		t, err := protojson.Marshal(m)
		if err != nil {
			return err
		}
		binary, text = append(binary, b), append(text, t)
	}
	const path = hoistv1connect.EvaluationServiceEvaluateProcedure
	const version = "Connect-Protocol-Version: 1\r\n"
	jsonTarget := at.target("connect, json", path, "application/json", version, text)
	protoTarget := at.target("connect, protobuf", path, "application/proto", version, binary)
	return a.compete(ctx, q, []target{jsonTarget, protoTarget})
}

// evaluateRequest is the call that asks what body asks OFREP.
func evaluateRequest(body []byte, q *asking) (*hoistv1.EvaluateRequest, error) {
	var asked struct {
		Context map[string]any `json:"context"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, fmt.Errorf("reading the context: %w", err)
	}
	about, err := structpb.NewStruct(asked.Context)
	if err != nil {
		return nil, fmt.Errorf("writing the context: %w", err)
	}
	return &hoistv1.EvaluateRequest{Environment: q.environment, Key: q.keys[0], Context: about}, nil
}
