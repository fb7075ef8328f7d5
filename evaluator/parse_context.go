package evaluator

import (
	"errors"
	"fmt"
)

// The limits of a context at the doors. Evaluate itself has none.
const (
	maxAttributes     = 200
	maxAttributeName  = 128
	maxAttributeValue = 4 << 10
	maxContext        = 64 << 10
	maxTargetingKey   = 512
)

// ContextError says what is wrong with a context: Code is ErrorParse (not JSON, duplicate members, depth,
// trailing data) or ErrorInvalidContext; Detail names the attribute and the limit.
type ContextError struct {
	Code   ErrorCode
	Detail string
}

func (e *ContextError) Error() string { return string(e.Code) + ": " + e.Detail }

func invalidContext(format string, args ...any) error {
	return &ContextError{Code: ErrorInvalidContext, Detail: fmt.Sprintf(format, args...)}
}

// ParseContext reads the JSON object of an evaluation context ({"targetingKey":…, …}) into c, reusing its
// storage. The limits of the doors (attribute count, sizes, depth) are enforced here. Errors are *ContextError.
// c keeps references into data: data must not change while c is used.
func ParseContext(data []byte, c *Context) error {
	s := scanner{data: data}
	c.reset()
	err := s.context(c, 1)
	if err == nil {
		err = s.end()
	}
	return contextError(err)
}

// ParseContextIn reads the context that is the named member of the JSON object data: the body of an OFREP
// request without a second pass over it. Other members are checked as JSON and ignored. Without that member c is
// empty and found is false. Otherwise it is ParseContext.
func ParseContextIn(data []byte, member string, c *Context) (found bool, err error) {
	s := scanner{data: data}
	c.reset()
	if s.peek() != '{' {
		if _, err := s.document(); err != nil {
			return false, contextError(err)
		}
		return false, invalidContext("the body must be a JSON object")
	}
	var seen [8]Attribute
	names := seen[:0]
	err = s.object(1, func(name string) error {
		names = append(names, Attribute{Name: name})
		if name != member || found {
			_, err := s.value(2)
			return err
		}
		found = true
		return s.context(c, 2)
	})
	if err == nil {
		err = s.sortUnique(names)
	}
	if err == nil {
		err = s.end()
	}
	return found, contextError(err)
}

func (c *Context) reset() {
	c.TargetingKey = ""
	clear(c.Attributes)
	c.Attributes = c.Attributes[:0]
}

// context reads the object of a context whose own depth is given.
func (s *scanner) context(c *Context, depth int) error {
	if s.peek() != '{' {
		if _, err := s.value(depth); err != nil {
			return err
		}
		return invalidContext("the context must be a JSON object")
	}
	start := s.pos
	keySeen := false
	err := s.object(depth, func(name string) error {
		if name == targetingKey {
			if keySeen {
				return s.fail(`duplicate member "targetingKey"`)
			}
			keySeen = true
			return s.targetingKey(c, depth)
		}
		return s.attribute(c, name, depth)
	})
	if err == nil {
		err = s.sortUnique(c.Attributes)
	}
	if err == nil && s.pos-start > maxContext {
		err = invalidContext("the context is longer than %d bytes", maxContext)
	}
	return err
}

func (s *scanner) targetingKey(c *Context, depth int) error {
	v, err := s.value(depth + 1)
	switch {
	case err != nil:
		return err
	case v.kind == KindNull:
		return nil
	case v.kind != KindString:
		return invalidContext("targetingKey must be a string")
	case len(v.text) > maxTargetingKey:
		return invalidContext("targetingKey is longer than %d bytes", maxTargetingKey)
	case v.text == "":
		c.Attributes = append(c.Attributes, Attribute{Name: targetingKey, Value: v})
	}
	c.TargetingKey = v.text
	return nil
}

func (s *scanner) attribute(c *Context, name string, depth int) error {
	s.space()
	start := s.pos
	v, err := s.value(depth + 1)
	switch {
	case err != nil:
		return err
	case len(name) > maxAttributeName:
		return invalidContext("attribute name %.32q… is longer than %d bytes", name, maxAttributeName)
	case len(c.Attributes) >= maxAttributes:
		return invalidContext("more than %d attributes; the first too many is %q", maxAttributes, name)
	case v.kind == KindString && len(v.text) > maxAttributeValue,
		v.kind != KindString && s.pos-start > maxAttributeValue:
		return invalidContext("the value of attribute %q is longer than %d bytes", name, maxAttributeValue)
	}
	c.Attributes = append(c.Attributes, Attribute{Name: name, Value: v})
	return nil
}

// contextError gives every failure of the scanner its code.
func contextError(err error) error {
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return &ContextError{Code: ErrorParse, Detail: syntax.Error()}
	}
	return err
}
