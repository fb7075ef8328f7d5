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
	const last = `"flag":`
	rest, ok := bytes.CutPrefix(body, []byte{'{'})
	if !ok {
		return c, false
	}
	for _, m := range [...]struct {
		name string
		into *string
	}{{`"tenant":`, &c.Tenant}, {`"environment":`, &c.Environment}} {
		after, given := bytes.CutPrefix(rest, []byte(m.name))
		if !given {
			continue
		}
		text, after, plain := plainText(after)
		if !plain || len(after) == 0 || after[0] != ',' {
			return c, false
		}
		*m.into, rest = string(text), after[1:]
	}
	rest, ok = bytes.CutPrefix(rest, []byte(last))
	if !ok || len(rest) == 0 || rest[len(rest)-1] != '}' || rest[0] != '{' {
		return c, false
	}
	var err error
	c.Flag, err = evaluator.DecodeFlag(rest[:len(rest)-1])
	return c, err == nil
}
