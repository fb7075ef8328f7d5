package cluster

import (
	"sync"
	"time"
)

// watchdog barks when something takes longer than hangAfter. It counts beats and not the time that passed, so that only time
// in which this process ran counts: one that was stopped, or starved by its neighbours, knows nothing about its disk yet.
type watchdog struct {
	bark func()

	mu    sync.Mutex
	beats int // left; 0: it barked or was ended
	timer *time.Timer
}

func watch(bark func()) *watchdog {
	w := &watchdog{bark: bark, beats: hangBeats}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(hangAfter/hangBeats, w.beat)
	return w
}

func (w *watchdog) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.beats == 0 {
		return
	}
	if w.beats--; w.beats == 0 {
		w.bark()
		return
	}
	w.timer.Reset(hangAfter / hangBeats)
}

func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beats = 0
	w.timer.Stop()
}
