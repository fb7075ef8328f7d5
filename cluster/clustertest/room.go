package clustertest

// DiskSize is the size of a Disk in bytes. It holds as much as one likes: only SetFree makes it full.
const DiskSize = 100 << 30

// room is how full a disk is said to be.
type room struct {
	free    uint64
	ballast uint64
}

// SetFree says how many bytes are free; with 0 every write fails for want of space. Deleting the ballast adds to it.
func (d *Disk) SetFree(bytes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room.free = bytes
}

// Space implements cluster.Room.
func (d *Disk) Space() (free, size uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.room.free, DiskSize, nil
}

// Ballast implements cluster.Room.
func (d *Disk) Ballast() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int64(d.room.ballast)
}

// SetBallast implements cluster.Room.
func (d *Disk) SetBallast(bytes int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room.free += d.room.ballast
	d.room.ballast = uint64(bytes)
	d.room.free -= min(d.room.free, d.room.ballast)
	return nil
}
