package fsm

import "slices"

// InstantForm is how a Level names its time: UTC with milliseconds, so that the order of texts is the order of times.
const InstantForm = "2006-01-02T15:04:05.000Z"

// Schedule moves a share of people from Base to Variant at given times, beside the flag: the declaration keeps its
// place and is what is served when the schedule is taken away.
type Schedule struct {
	Flag    string  `json:"flag"`
	Rule    string  `json:"rule,omitempty"` // whose then it replaces; empty: the default
	Variant string  `json:"variant"`
	Base    string  `json:"base"` // of everybody else
	By      string  `json:"by,omitempty"`
	Salt    string  `json:"salt"`
	Hash    string  `json:"hash,omitempty"`
	Levels  []Level `json:"levels"` // rising in time; before the first nobody gets Variant
}

// Level says that from At on Weight thousandths of a percent get the schedule's variant.
type Level struct {
	At     string `json:"at"` // InstantForm
	Weight int    `json:"weight"`
}

// Equal tells whether two schedules say the same.
func (s *Schedule) Equal(o *Schedule) bool {
	return s.Flag == o.Flag && s.Rule == o.Rule && s.Variant == o.Variant && s.Base == o.Base &&
		s.By == o.By && s.Salt == o.Salt && s.Hash == o.Hash && slices.Equal(s.Levels, o.Levels)
}
