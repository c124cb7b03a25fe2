// Package ctl is `omsync-tui ctl`: the scripted mode, with the letters of upstream's synctool_helper.py.
//
// Data goes to standard output, everything else to standard error, and the exit code says what happened (see exit.go). Nothing here
// depends on a terminal except the one question that delete asks.
//
// What does not belong here: how rows are computed (tui/state), the console.
package ctl
