//go:build race

package handoff

// histories that TestHistories plays: the race detector makes one about ten times as expensive.
const histories = 9_600
