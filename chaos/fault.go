package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Nemesis is one way to break a world. Run begins the fault, keeps at it until ctx ends where it has something to do
// meanwhile, and returns; World.Heal ends what it left. What it breaks follows from chance.
type Nemesis struct {
	Name  string
	Group string // network, process, disk, clock, membership, load, control
	Run   func(ctx context.Context, w World, chance *rand.Rand) error
}

// Strike runs nemeses together for a time, then heals.
func Strike(ctx context.Context, w World, h *History, chance *rand.Rand, on time.Duration, nemeses ...Nemesis) {
	bounded, cancel := context.WithTimeout(ctx, on)
	defer cancel()
	done := make(chan struct{})
	for _, n := range nemeses {
		h.Mark(MarkNemesis, "", n.Name)
		own := rand.New(rand.NewPCG(chance.Uint64(), 0))
		go func() {
			defer func() { done <- struct{}{} }()
			if err := n.Run(bounded, w, own); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				h.Mark("failed", "", fmt.Sprintf("%s: %v", n.Name, err))
			}
		}()
	}
	for range nemeses {
		<-done
	}
	<-bounded.Done()
	w.Heal()
	h.Mark(MarkHeal, "", "")
}

// Find returns the nemeses with the given names, "a+b" being two together.
func Find(names []string) ([]Nemesis, error) { return FindIn(Nemeses(), names) }

// FindIn is Find among all.
func FindIn(all []Nemesis, names []string) (found []Nemesis, err error) {
	for _, name := range names {
		at := slices.IndexFunc(all, func(n Nemesis) bool { return n.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("there is no nemesis %q; they are %v", name, nemesisNames(all))
		}
		found = append(found, all[at])
	}
	return found, nil
}

func nemesisNames(all []Nemesis) (names []string) {
	for _, n := range all {
		names = append(names, n.Name)
	}
	return names
}

// Nemeses are all of them.
func Nemeses() []Nemesis {
	return slices.Concat(networkNemeses(), processNemeses(), diskNemeses(), clockNemeses(), memberNemeses(), controlNemeses())
}

// pause waits, and says whether there is still time.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// up are the running nodes.
func up(w World) []string {
	return slices.DeleteFunc(slices.Clone(w.Nodes()), func(n string) bool { return !w.Up(n) })
}

// pick is one of them.
func pick(chance *rand.Rand, nodes []string) string {
	if len(nodes) == 0 {
		return ""
	}
	return nodes[chance.IntN(len(nodes))]
}

// leaderOr is the leader, or anybody while nobody leads.
func leaderOr(w World, chance *rand.Rand) string {
	if l := w.Leader(); l != "" {
		return l
	}
	return pick(chance, up(w))
}

// follower is a running node that does not lead.
func follower(w World, chance *rand.Rand) string {
	leader := w.Leader()
	return pick(chance, slices.DeleteFunc(up(w), func(n string) bool { return n == leader }))
}
