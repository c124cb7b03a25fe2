// Command omsync-tui is the console of omsync and its scripted mode, ctl. All it does itself is to hand the process's streams, clock and
// connections to tui/ctl.
package main
