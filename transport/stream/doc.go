// Package stream fans the changes of environments out to followers. For each followed environment one goroutine waits for
// the next snapshot, asks it what changed, encodes that once, and appends it to a linked list; a follower is a cursor into
// the list. Nothing is queued for anybody.
//
// Invariants: a follower that applies every frame it gets holds exactly what this node served at the frame's revision; a
// frame is encoded once, however many followers there are; a follower that stands still keeps one frame alive and costs
// nobody else anything; an environment without followers has no goroutine.
//
//	cursor, err := hub.Follow(ctx, "default", "dev", stream.Position{Epoch: epoch, Revision: revision})
//	if err != nil {
//		return err
//	}
//	defer cursor.Close()
//	for {
//		frame, err := cursor.Next(ctx)
//		…
//	}
package stream
