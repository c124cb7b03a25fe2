//go:build race

package synctool

const raceEnabled = true
