package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// span is a flag for a length of time that must be at least so long: with -2h there is no freeze and no token.
type span struct {
	to    *time.Duration
	least time.Duration
}

// spanFlag adds one.
func spanFlag(f *pflag.FlagSet, to *time.Duration, name string, least, usual time.Duration, help string) {
	*to = usual
	f.Var(&span{to, least}, name, help)
	if usual == 0 {
		f.Lookup(name).DefValue = "" // the text says what 0 means
	}
}

func (s *span) String() string {
	if s.to == nil {
		return ""
	}
	return s.to.String()
}

func (s *span) Type() string { return "duration" }

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("write a number with its unit, such as 90s, 15m or 2h")
	case d < s.least:
		return fmt.Errorf("the least is %s", s.least)
	}
	*s.to = d
	return nil
}
