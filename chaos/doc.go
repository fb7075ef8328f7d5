// Package chaos breaks clusters on purpose and checks that the recorded history is still lawful.
//
// There are two kinds of World: one in the virtual time of a testing/synctest bubble, with simulated network, disks and
// clocks, and one of real processes. Both are broken by the same nemeses, loaded by the same clients, leave the same
// History and are judged by the same checkers. The invariant: a checker reads what was recorded and nothing else, so a
// history that was stored can be judged again.
//
//	h := chaos.NewHistory(time.Now())
//	load := chaos.Load{World: w, History: h, Seed: seed}
//	stop := load.Start(ctx)
//	chaos.Strike(ctx, w, h, nemesis, rand.New(rand.NewPCG(seed, 1)), 5*time.Second)
//	stop()
//	violations := chaos.Check(chaos.Evidence{History: h, Dump: w.Dump()})
package chaos
