package chaos

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hoistflags/hoist/fsm"
)

// checkTime bounds the search for a linear order of one history; a search that does not end is a violation.
const checkTime = 60 * time.Second

// register is the state of one flag as far as clients have seen it. A write whose outcome nobody knows leaves a value
// under a revision that the next look at it reveals.
type register struct {
	revision uint64 // 0: there is no flag
	open     bool   // the revision is not known yet, only that it is none seen before
	value    string
}

// step is one operation on one register.
type step struct {
	kind     Kind
	value    string
	expected uint64
	unknown  bool
	conflict bool
	revision uint64 // after a write; at a read; that a refusal names
}

// checkRegisters looks for a linear order of the writes and linearizable reads of every flag. Kill switches, batches and
// deletions are left to the oracle, which needs no search.
func checkRegisters(ops []Op) (out []Violation) {
	registers, loose := registers(ops), registerModel()
	model := loose.ToModel()
	for key, history := range registers {
		if porcupine.CheckOperationsTimeout(model, history, checkTime) != porcupine.Ok {
			out = append(out, found(Linearizable, history[len(history)-1].Call, "there is no order of the %d operations on flag %s that explains them", len(history), key))
		}
	}
	return out
}

// registers are the operations per flag that the search looks at, over flags that see nothing else.
func registers(ops []Op) map[string][]porcupine.Operation {
	mixed := map[string]bool{}
	out := map[string][]porcupine.Operation{}
	for _, op := range merged(ops) {
		for _, part := range op.Input.Parts {
			mixed[flagOf(part)] = true
		}
		switch op.Input.Kind {
		case Delete, Enable, Disable:
			mixed[flagOf(op.Input)] = true
		case Put, CAS, Read:
			if s, ok := stepOf(op); ok {
				end := op.Return
				if s.unknown {
					end = math.MaxInt64
				}
				key := flagOf(op.Input)
				out[key] = append(out[key], porcupine.Operation{ClientId: op.Client, Input: s, Call: op.Call, Return: end})
			}
		}
	}
	for key := range mixed {
		delete(out, key)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	}
	return out
}

// merged joins the attempts of one request into one operation: it took effect between the first call and the first answer.
func merged(ops []Op) []Op {
	var out []Op
	at := map[string]int{}
	for _, op := range ops {
		i, again := at[op.Request]
		if op.Request == "" || !again {
			at[op.Request] = len(out)
			out = append(out, op)
			continue
		}
		call := min(out[i].Call, op.Call)
		if settledBy(out[i], op) {
			out[i] = op
		}
		out[i].Call = call
	}
	return out
}

// settledBy tells whether another attempt says more. An answer of the law settles a request for good; that an attempt did
// not reach the log says nothing about the ones before it.
func settledBy(op, again Op) bool {
	final := func(op Op) bool {
		return op.Outcome == OK || op.Outcome == Fail && storedCode(fsm.Kind(op.Result.Code))
	}
	switch {
	case final(op):
		return final(again) && again.Return < op.Return
	case op.Outcome == Unknown:
		return final(again)
	}
	return true
}

func flagOf(in Input) string { return in.Environment + "/" + in.Key }

func stepOf(op Op) (step, bool) {
	s := step{kind: op.Input.Kind, value: op.Input.Value, revision: op.Result.Object}
	if op.Input.Expected != nil {
		s.expected = *op.Input.Expected
	}
	switch {
	case op.Input.Kind == Read:
		s.value = op.Result.Value
		if op.Result.Killed {
			s.value = "" // the switch hides it
		}
		return s, op.Outcome == OK
	case op.Outcome == Unknown:
		s.unknown = true
		return s, true
	case op.Outcome == OK:
		return s, true
	}
	s.conflict, s.revision = true, op.Result.Current
	return s, op.Result.Code == string(fsm.KindConflict) || op.Result.Code == string(fsm.KindExists)
}

func registerModel() porcupine.NondeterministicModel {
	return porcupine.NondeterministicModel{
		Init:  func() []any { return []any{register{}} },
		Step:  func(state, input, _ any) []any { return input.(step).on(state.(register)) },
		Equal: func(a, b any) bool { return a == b },
	}
}

// on gives the states that a register may be in after the step; none when the step cannot be.
func (s step) on(r register) []any {
	switch {
	case s.kind == Read:
		return r.read(s)
	case s.conflict:
		return r.refuse(s)
	}
	if s.kind == CAS && !s.unknown && !r.open && r.revision != s.expected {
		return nil
	}
	done := register{revision: s.revision, value: s.value}
	if s.unknown {
		done.open, done.revision = true, 0
		if s.kind == CAS && !r.open && r.revision != s.expected {
			return []any{r}
		}
		return []any{r, done}
	}
	return []any{done}
}

func (r register) read(s step) []any {
	if s.value != "" && s.revision > 0 && r.value != s.value || (s.revision == 0) != (r.revision == 0 && !r.open) {
		return nil
	}
	if r.open {
		r.open, r.revision = false, s.revision
	}
	if r.revision != s.revision {
		return nil
	}
	return []any{r}
}

func (r register) refuse(s step) []any {
	if r.open {
		if s.revision == 0 || s.revision == s.expected {
			return nil
		}
		r.open, r.revision = false, s.revision
	}
	if r.revision == s.expected || r.revision != 0 && r.revision != s.revision {
		return nil // of a flag that is not there a refusal names where the node stands
	}
	return []any{r}
}
