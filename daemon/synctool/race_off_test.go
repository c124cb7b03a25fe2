//go:build !race

package synctool

const raceEnabled = false
