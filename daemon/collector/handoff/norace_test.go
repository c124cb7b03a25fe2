//go:build !race

package handoff

// histories that TestHistories plays.
const histories = 100_800
