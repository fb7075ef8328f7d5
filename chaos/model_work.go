package chaos

import (
	"maps"
	"slices"

	"github.com/hoistflags/hoist/fsm"
)

// newest is the flag as it is.
func (p *place) newest(key string) flagAt {
	versions := p.flags[key]
	if len(versions) == 0 {
		return flagAt{}
	}
	return versions[len(versions)-1]
}

// at is the flag as it was after an index.
func (p *place) at(key string, index uint64) flagAt {
	versions := p.flags[key]
	after, _ := slices.BinarySearchFunc(versions, index+1, func(f flagAt, index uint64) int {
		if f.from < index {
			return -1
		}
		return 1
	})
	if after == 0 {
		return flagAt{}
	}
	return versions[after-1]
}

// work is one command on its way: all of it happens, or nothing.
type work struct {
	place *place
	index uint64
	flags map[string]flagAt // touched, as they will be
}

func (w *work) flag(key string) flagAt {
	if f, ok := w.flags[key]; ok {
		return f
	}
	return w.place.newest(key)
}

// expect compares the expected revision: of the flag, also when it is alone in a batch, else of the environment.
func (w *work) expect(c fsm.Command, expected uint64) (code string, current uint64) {
	if b, ok := c.(fsm.Batch); ok && len(b.Commands) == 1 {
		c = b.Commands[0]
	}
	current = w.place.revision
	if _, key, _ := modelled(c); key != "" {
		current = w.place.newest(key).revision
	}
	switch {
	case current == expected:
		return "", 0
	case expected == 0:
		return string(fsm.KindExists), current
	}
	return string(fsm.KindConflict), current
}

func (w *work) do(c fsm.Command) (code string) {
	if b, ok := c.(fsm.Batch); ok {
		for _, inner := range b.Commands {
			if code := w.do(inner); code != "" {
				return code
			}
		}
		return ""
	}
	_, key, _ := modelled(c)
	f := w.flag(key)
	if put, ok := c.(fsm.PutFlag); ok {
		f.exists, f.enabled, f.value = true, put.Flag.Enabled, valueOf(put.Flag)
		w.flags[key] = f
		return ""
	}
	if !f.exists {
		return string(fsm.KindNotFound)
	}
	switch c := c.(type) {
	case fsm.DeleteFlag:
		f = flagAt{}
	case fsm.SetEnabled:
		f.enabled = c.Enabled
	case fsm.Kill:
		f.killed = true
	case fsm.Unkill:
		f.killed = false
	}
	w.flags[key] = f
	return ""
}

// commit makes it so, and counts the audit rows: one for a changed declaration, one for a changed switch.
func (w *work) commit() (rows int) {
	for _, key := range slices.Sorted(maps.Keys(w.flags)) {
		old, f := w.place.newest(key), w.flags[key]
		declared := old.exists != f.exists || old.value != f.value || old.enabled != f.enabled
		switched := old.killed != f.killed
		if !declared && !switched {
			continue
		}
		f.from = w.index
		if declared {
			rows++
			if f.exists {
				f.revision = w.index
			}
		}
		if switched && f.exists {
			rows++
		}
		w.place.flags[key] = append(w.place.flags[key], f)
		w.place.revision = w.index
	}
	return rows
}
