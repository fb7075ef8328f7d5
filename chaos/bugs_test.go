//go:build seededbugs

package chaos_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/bug"
)

// Every planted defect is caught, by an invariant that was named before, in a scenario of a few seconds.
func TestEveryPlantedDefectIsCaught(t *testing.T) {
	rows := []string{fmt.Sprintf("%-4s %-50s %-52s %-42s %s", "bug", "what it does", "caught by", "scenario", "took")}
	scenarios := directedScenarios()
	slices.SortFunc(scenarios, func(a, b directed) int { return strings.Compare(a.bug, b.bug) })
	for _, d := range scenarios {
		t.Run(d.bug, func(t *testing.T) {
			bug.Plant(d.bug)
			defer bug.Plant("")
			began := time.Now()
			report := d.run(t)
			took := time.Since(began)
			caught := "NOT CAUGHT"
			for _, v := range report.Violations {
				if slices.Contains(d.catches, v.Invariant) {
					caught = fmt.Sprintf("%d %s", v.Invariant, v.Name)
					break
				}
			}
			rows = append(rows, fmt.Sprintf("%-4s %-50s %-52s %-42s %.1f s", d.bug, d.breaks, caught, d.name, took.Seconds()))
			require.NotEqual(t, "NOT CAUGHT", caught, "the defect survived; what was found instead: %v", report.Violations)
			require.Less(t, took, 10*time.Second)
		})
	}
	t.Log("\n" + strings.Join(rows, "\n"))
}
