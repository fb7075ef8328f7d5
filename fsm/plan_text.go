package fsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	strict "github.com/go-json-experiment/json"
)

// Duration is a span of time in milliseconds; as text it reads like "1m30s".
type Duration int64

// Of gives the span.
func (d Duration) Of() time.Duration { return time.Duration(d) * time.Millisecond }

// String gives the text form.
func (d Duration) String() string { return d.Of().String() }

// MarshalText gives the text form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form.
func (d *Duration) UnmarshalText(text []byte) error {
	span, err := time.ParseDuration(string(text))
	if err != nil || span < 0 || span%time.Millisecond != 0 {
		return fmt.Errorf("%q is no span of time; write 30s, 10m or 1h30m", text)
	}
	*d = Duration(span / time.Millisecond)
	return nil
}

// Percent is a share in thousandths of a percent; as a number it is in percent: 12.5.
type Percent int

// All is one hundred percent.
const All Percent = 100_000

// String gives the share with its sign: "12.5%".
func (p Percent) String() string { return p.number() + "%" }

func (p Percent) number() string {
	text := fmt.Sprintf("%d.%03d", p/1000, p%1000)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

// MarshalJSON gives the share as a number of percent.
func (p Percent) MarshalJSON() ([]byte, error) { return []byte(p.number()), nil }

// UnmarshalJSON reads a number of percent with up to three places.
func (p *Percent) UnmarshalJSON(data []byte) error {
	f, err := strconv.ParseFloat(string(data), 64)
	n := int(f*1000 + 0.5)
	if err != nil || f < 0 || f > 100 || float64(n)/1000 != f {
		return fmt.Errorf("%s is no share: a percentage from 0 to 100 with at most three places", data)
	}
	*p = Percent(n)
	return nil
}

// Hold waits. In a plan it is a span, or {} for one that only a person ends.
type Hold struct {
	For       Duration
	FromRaise bool // the span counts from the last raise, not from the step; only blue-green makes such a hold
}

// Forever tells whether only a person ends the hold.
func (h Hold) Forever() bool { return h.For == 0 }

// MarshalJSON gives "10m0s", or {}.
func (h Hold) MarshalJSON() ([]byte, error) {
	if h.Forever() {
		return []byte("{}"), nil
	}
	return json.Marshal(h.For.String())
}

// UnmarshalJSON reads a span or {}.
func (h *Hold) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("{}")) {
		*h = Hold{}
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("a hold is a span such as 10m, or {} for one that a person ends")
	}
	if err := h.For.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if h.For == 0 {
		return errors.New("a hold of no time is none; write {} for one that a person ends")
	}
	return nil
}

type plainAnalysis Analysis

// IsZero tells whether the plan says nothing about its analysis.
func (a Analysis) IsZero() bool {
	return !a.None && a.Background == nil && len(a.DryRun) == 0 && len(a.Args) == 0
}

// MarshalJSON gives "none" or the members.
func (a Analysis) MarshalJSON() ([]byte, error) {
	if a.None {
		return []byte(`"none"`), nil
	}
	return strict.Marshal(plainAnalysis(a), strict.Deterministic(true))
}

// UnmarshalJSON reads the word none or an object.
func (a *Analysis) UnmarshalJSON(data []byte) error {
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '"' {
		if string(data) != `"none"` {
			return fmt.Errorf("%s is no analysis; write none, or what is measured", data)
		}
		*a = Analysis{None: true}
		return nil
	}
	return strict.Unmarshal(data, (*plainAnalysis)(a), strict.RejectUnknownMembers(true))
}
