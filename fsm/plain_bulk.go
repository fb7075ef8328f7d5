package fsm

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/hoistflags/hoist/evaluator"
)

// Big writes are flags in batches in stages: as JSON of JSON of JSON, which the library would scan once per layer and
// node. Definitions have their canonical bytes already, so the layers around them are written, and peeled off, by hand.

// appendScope begins an object with the members that name a scope; false means that the library has to write it.
func appendScope(b []byte, s Scope) ([]byte, bool) {
	b = append(b, '{')
	for _, m := range [...]struct{ name, text string }{{`"tenant":"`, s.Tenant}, {`"environment":"`, s.Environment}} {
		if !plainWords(m.text) {
			return nil, false
		}
		if m.text != "" {
			b = append(append(append(b, m.name...), m.text...), `",`...)
		}
	}
	return b, true
}

func plainWords(text string) bool {
	for i := range len(text) {
		if !plainByte(text[i]) {
			return false
		}
	}
	return true
}

// encodePutFlag is the body of a flag.put; false means that the library has to write it.
func encodePutFlag(c PutFlag) ([]byte, bool) {
	flag := c.Flag.Canonical()
	b, ok := appendScope(make([]byte, 0, len(flag)+64), c.Scope)
	if !ok || !utf8.Valid(flag) {
		return nil, false
	}
	return append(append(append(b, `"flag":`...), flag...), '}'), true
}

// encodeBatch is the body of a batch, and encodeStage that of a stage with whole commands; false, as above.
func encodeBatch(c Batch) ([]byte, bool, error) {
	b, ok := appendScope(nil, c.Scope)
	if !ok {
		return nil, false, nil
	}
	if c.Since != 0 {
		b = append(strconv.AppendUint(append(b, `"since":`...), c.Since, 10), ',')
	}
	return closeNested(append(b, `"commands":[`...), c.Scope, c.Commands)
}

func encodeStage(c Stage) ([]byte, bool, error) {
	b, ok := appendScope(nil, c.Scope)
	if !ok || len(c.Commands) == 0 || len(c.Fragment) > 0 || c.Last || !plainWords(c.Change) {
		return nil, false, nil
	}
	b = append(append(append(b, `"change":"`...), c.Change...), `","part":`...)
	return closeNested(append(strconv.AppendInt(b, int64(c.Part), 10), `,"last":false,"commands":[`...), c.Scope, c.Commands)
}

// closeNested ends an object with its commands, as encodeNested has them.
func closeNested(b []byte, outer Scope, commands []Command) ([]byte, bool, error) {
	list, err := encodeNested(outer, commands)
	if err != nil {
		return nil, true, err
	}
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendUint(append(b, `{"type":`...), n.Type, 10), `,"body":`...)
		b = append(append(b, n.Body...), '}')
	}
	return append(b, "]}"...), true, nil
}

// peelPutFlag reads a flag.put as encodePutFlag writes it; false means that it has to be read the long way, which also
// says what is wrong with it.
func peelPutFlag(body []byte) (c PutFlag, ok bool) {
	rest, ok := cutScope(body, &c.Scope)
	if !ok {
		return c, false
	}
	c.Flag, ok = peelFlag(&rest, "}")
	return c, ok && len(rest) == 0
}

// cutScope takes the beginning of an object, with the scope that appendScope wrote.
func cutScope(body []byte, scope *Scope) (rest []byte, ok bool) {
	if rest, ok = bytes.CutPrefix(body, []byte{'{'}); !ok {
		return nil, false
	}
	for _, m := range [...]struct {
		name string
		into *string
	}{{`"tenant":`, &scope.Tenant}, {`"environment":`, &scope.Environment}} {
		after, given := bytes.CutPrefix(rest, []byte(m.name))
		if !given {
			continue
		}
		text, after, plain := plainText(after)
		if !plain || len(after) == 0 || after[0] != ',' {
			return nil, false
		}
		*m.into, rest = string(text), after[1:]
	}
	return rest, true
}

// peelFlag takes the member with the flag and what ends the objects around it.
func peelFlag(rest *[]byte, end string) (f *evaluator.Flag, ok bool) {
	if !cut(rest, `"flag":`) {
		return nil, false
	}
	if f, *rest, ok = evaluator.CutFlag(*rest); !ok {
		return nil, false
	}
	return f, cut(rest, end)
}

func cut(rest *[]byte, prefix string) (ok bool) {
	*rest, ok = bytes.CutPrefix(*rest, []byte(prefix))
	return ok
}

// cutNumber takes a whole number as strconv writes it, of so few digits that it fits everywhere.
func cutNumber(rest *[]byte) (n uint64, ok bool) {
	b, digits := *rest, 0
	for digits < len(b) && b[digits] >= '0' && b[digits] <= '9' {
		n = 10*n + uint64(b[digits]-'0')
		digits++
	}
	*rest = b[digits:]
	return n, digits > 0 && digits <= 9 && (digits == 1 || b[0] != '0')
}

// peelStage and peelBatch read what encodeStage and encodeBatch write, if all of it is flags of the one environment.
func peelStage(body []byte) (c Stage, ok bool) {
	rest, ok := cutScope(body, &c.Scope)
	if !ok || !cut(&rest, `"change":`) {
		return c, false
	}
	change, rest, ok := plainText(rest)
	if !ok || !cut(&rest, `,"part":`) {
		return c, false
	}
	part, ok := cutNumber(&rest)
	if !ok || !cut(&rest, `,"last":false,`) {
		return c, false
	}
	c.Change, c.Part = string(change), int(part)
	c.Commands, ok = peelFlags(c.Scope, rest)
	return c, ok
}

func peelBatch(body []byte) (c Batch, ok bool) {
	rest, ok := cutScope(body, &c.Scope)
	if !ok {
		return c, false
	}
	if cut(&rest, `"since":`) {
		if c.Since, ok = cutNumber(&rest); !ok || !cut(&rest, ",") {
			return c, false
		}
	}
	c.Commands, ok = peelFlags(c.Scope, rest)
	return c, ok
}

// peelFlags takes the list of commands that ends a batch or a stage.
func peelFlags(scope Scope, rest []byte) (commands []Command, ok bool) {
	const flagBytes = 400 // of one command, about
	commands = make([]Command, 0, len(rest)/flagBytes+1)
	if !cut(&rest, `"commands":[`) {
		return nil, false
	}
	for {
		if !cut(&rest, `{"type":6,"body":{`) {
			return nil, false
		}
		f, ok := peelFlag(&rest, "}}")
		if !ok {
			return nil, false
		}
		commands = append(commands, PutFlag{Scope: scope, Flag: f})
		if string(rest) == "]}" {
			return commands, true
		}
		if !cut(&rest, ",") {
			return nil, false
		}
	}
}
