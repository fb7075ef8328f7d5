package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
)

// recovery is what the flags of recover say.
type recovery struct {
	dataDir string
	compare []string
	force   bool
	yes     bool
}

func (a *app) clusterRecoverCommand() *cobra.Command {
	r := recovery{}
	c := &cobra.Command{
		Use: "recover", Short: "Make one survivor a cluster of its own, when a majority is lost for good",
		Long: `Make one survivor a cluster of its own, when a majority is lost for good. It works on a data directory whose server is stopped. Without
--force-new-cluster it changes nothing and shows what each survivor has and what could be lost; take the one it recommends.

The survivor becomes the only voter of a new cluster with a new id and a new epoch: old members that come back are refused instead of
outvoting it. Empty their data directories and start them with --join.`,
		Example: `  hoist cluster recover --data-dir /var/lib/hoist --compare /mnt/node-2/hoist
  hoist cluster recover --data-dir /var/lib/hoist --force-new-cluster`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.recoverCluster(cmd, r) },
	}
	f := c.Flags()
	f.StringVar(&r.dataDir, "data-dir", "./hoist-data", "data directory of the survivor")
	f.StringSliceVar(&r.compare, "compare", nil, "data directories of other survivors, or copies of them")
	f.BoolVar(&r.force, "force-new-cluster", false, "do it; without, it is only shown")
	f.BoolVar(&r.yes, "yes", false, "do not ask")
	return c
}

func (a *app) recoverCluster(cmd *cobra.Command, r recovery) error {
	var all []*cluster.Inspection
	for _, dir := range append([]string{r.dataDir}, r.compare...) {
		seen, err := cluster.Inspect(dir)
		if err != nil {
			return failed("the directory of a server that is stopped", "%v", err)
		}
		for _, f := range seen.Findings {
			if f.Severity == cluster.SeverityProblem {
				return failed(f.Fix, "%s: %s", dir, f.What)
			}
		}
		all = append(all, seen)
	}
	best := a.showCandidates(all)
	a.showLoss(all[0])
	switch {
	case best != all[0]:
		a.talk("\n%s is further: whatever was committed and survives is there. Recover that one.", best.Dir)
	case !r.force:
		a.talk("\nNothing was changed. To go on: hoist cluster recover --data-dir %s --force-new-cluster", r.dataDir)
	}
	if !r.force {
		return nil
	}
	if err := a.confirm(cmd, r.yes, fmt.Sprintf("Make %s a new cluster and lose what it does not have?", r.dataDir)); err != nil {
		return err
	}
	done, err := cluster.Recover(r.dataDir)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "server %s is the only voter of cluster %s, at revision %d of epoch %s\n", done.ServerID, done.ClusterID, done.Revision, done.Epoch)
	a.talk("start it as before; then start the others with empty data directories and --join")
	return nil
}

// showCandidates lists the survivors, and gives the one that an election would prefer.
func (a *app) showCandidates(all []*cluster.Inspection) (best *cluster.Inspection) {
	v := view{header: []string{"DIRECTORY", "LAST TERM", "LAST INDEX", "APPLIED", "CURRENT AT", "SERVERS"}}
	best = all[0]
	for _, i := range all {
		if i.Further(best) {
			best = i
		}
		v.rows = append(v.rows, []string{i.Dir, fmt.Sprint(i.LastTerm), fmt.Sprint(i.Newest()), fmt.Sprint(i.Applied),
			i.Current.UTC().Format(time.RFC3339), fmt.Sprint(len(i.Servers))})
	}
	writeTable(a.stdout, v.header, v.rows)
	return best
}

// shownTail bounds how much of a long tail is listed.
const shownTail = 20

func (a *app) showLoss(i *cluster.Inspection) {
	if len(i.Tail) == 0 {
		fmt.Fprintln(a.stdout, "\nEverything in its log was applied.")
	} else {
		fmt.Fprintf(a.stdout, "\n%d entries after revision %d may or may not have been acknowledged; they count as committed from then on:\n", len(i.Tail), i.Applied)
		for _, t := range i.Tail[:min(shownTail, len(i.Tail))] {
			fmt.Fprintf(a.stdout, "  %d (term %d) %s %s\n", t.Index, t.Term, t.Verb, t.Actor)
		}
		if more := len(i.Tail) - shownTail; more > 0 {
			fmt.Fprintf(a.stdout, "  and %d more\n", more)
		}
	}
	fmt.Fprintf(a.stdout, "Whatever the other servers acknowledged after %s without this one is lost.\n", i.Current.UTC().Format(time.RFC3339))
}
