package collector

import "sync"

// turns lets one sender at a time onto a stream, those in a hurry first: a heartbeat waits for the message that is being written, not for the batches
// of all subtasks that stand in line. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	taken bool
	hurry []chan struct{} // closed when it is their turn
	rest  []chan struct{}
}

// take waits for the caller's turn, which ends with pass.
func (t *turns) take(hurry bool) {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return
	}
	mine := make(chan struct{})
	if hurry {
		t.hurry = append(t.hurry, mine)
	} else {
		t.rest = append(t.rest, mine)
	}
	t.mu.Unlock()
	<-mine
}

// pass gives the turn to the next in line.
func (t *turns) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := &t.hurry
	if len(*line) == 0 {
		line = &t.rest
	}
	if len(*line) == 0 {
		t.taken = false
		return
	}
	close((*line)[0])
	*line = (*line)[1:]
}
