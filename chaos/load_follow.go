package chaos

import (
	"context"
	"time"

	"github.com/hoistflags/hoist/transport/client"
)

// Follow runs the Go client's replica over some nodes and records everything it holds on the way, until ctx ends.
func Follow(ctx context.Context, w World, h *History, number int, environment string, nodes []string) {
	var addresses []string
	for _, node := range nodes {
		addresses = append(addresses, w.Address(node))
	}
	replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: addresses, HTTPClient: w.HTTP(number), Environment: environment})
	if err != nil {
		h.Mark("failed", "", "a follower could not be opened: "+err.Error())
		return
	}
	defer replica.Close() //nolint:errcheck // it has nothing to save
	var seen client.Position
	for ctx.Err() == nil {
		if replica.Wait(ctx, seen.Epoch, seen.Revision+1) != nil {
			return
		}
		at, snapshot := replica.Position(), replica.Live().Snapshot()
		if at != replica.Position() || snapshot.Epoch() == "" {
			if !pause(ctx, time.Millisecond) {
				return
			}
			continue // it moved meanwhile: position and snapshot may not belong together
		}
		seen = at
		h.See(Frame{Client: number, At: h.Now(), Environment: environment, Epoch: at.Epoch, Revision: at.Revision, Digest: Digest(snapshot)})
	}
}
