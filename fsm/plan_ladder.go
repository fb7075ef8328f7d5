package fsm

// Ladder gives the plan's plain steps: those written, those a generator writes, or those of the stages of blue-green.
// A plan that passed its check always has some.
func (p *Plan) Ladder() []Step {
	switch {
	case p.BlueGreen != nil:
		return p.BlueGreen.ladder()
	case p.Generate != nil:
		return p.Generate.ladder()
	}
	return p.Steps
}

func (g *Generator) ladder() []Step {
	var out []Step
	for _, w := range g.weights() {
		weight, hold := w, g.Hold
		out = append(out, Step{SetWeight: &weight}, Step{Hold: &hold})
	}
	return out
}

// weights is bounded: a generator that would not end in 100 rungs ends there.
func (g *Generator) weights() []Percent {
	const most = 100
	var out []Percent
	switch {
	case g.Linear != nil:
		top := g.Linear.Max
		if top == 0 {
			top = All
		}
		for w := g.Linear.Step; w > 0 && len(out) < most; w += g.Linear.Step {
			out = append(out, min(w, top))
			if w >= top {
				break
			}
		}
	case g.Exponential != nil:
		factor := max(g.Exponential.Factor, 1)
		if g.Exponential.Factor == 0 {
			factor = 2
		}
		for w := g.Exponential.Start; w > 0 && len(out) < most; w *= Percent(factor) {
			out = append(out, min(w, All))
			if w >= All {
				break
			}
		}
	case g.Fibonacci:
		for a, b := Percent(5000), Percent(8000); ; a, b = b, a+b {
			out = append(out, min(a, All))
			if a >= All {
				break
			}
		}
	default:
		out = g.List
	}
	return out
}

// ladder: preview, analysis, wait, switch, analysis, and the time in which an abort is the way back. The clock of
// autoPromote is a hold behind the first analysis, so it starts when that one has succeeded.
func (b *BlueGreen) ladder() []Step {
	var out []Step
	if len(b.Preview.Segments) > 0 {
		out = append(out, Step{SetRing: ringPreview})
	}
	if b.PreAnalysis != nil {
		out = append(out, Step{Analysis: b.PreAnalysis})
	}
	if b.AutoPromote > 0 {
		out = append(out, Step{Hold: &Hold{For: b.AutoPromote}})
	} else {
		out = append(out, Step{Approval: &Approval{Count: 1}})
	}
	everybody := All
	out = append(out, Step{SetWeight: &everybody})
	if b.PostAnalysis != nil {
		out = append(out, Step{Analysis: b.PostAnalysis})
	}
	if b.WayBack > 0 {
		out = append(out, Step{Hold: &Hold{For: b.WayBack, FromRaise: true}})
	}
	return out
}
