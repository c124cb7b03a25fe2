package collector

import (
	"context"
	"time"
)

// Clock is the time that decides: settling, ages, pauses, time-outs. Tests pass their own.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

type systemClock struct{}

func (systemClock) Now() time.Time                         { return time.Now() }
func (systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// pause returns after d, at once when ctx ends (with its cause), or when wake is closed or sent to.
func pause(ctx context.Context, clock Clock, d time.Duration, wake <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-wake:
	case <-clock.After(d):
	}
	return nil
}
