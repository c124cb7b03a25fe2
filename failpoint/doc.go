// Package failpoint holds named places in the daemons where a test may break them.
//
// A place is one call: if err := failpoint.Hit("synctool/decide-before"); err != nil { return err }.
// Without the build tag failpoints Hit is an empty function that the compiler removes. With it, the environment
// variable OMSYNC_FAILPOINTS arms places, separated by ';':
//
//	name=action[@n][/file]
//
// action is one of kill (SIGKILL to ourselves), stop (SIGSTOP to ourselves), error (Hit returns ErrInjected) and
// sleep:<duration>. @n arms the n-th hit only (default 1, * for every hit). Each time a place acts, a line
// "name action pid" is appended to the file named by OMSYNC_FAILPOINTS_LOG before the action, so that a test can
// tell a fault that happened from one that was never reached.
//
// What does not belong here: decisions of the product. The names are listed in Names, in the order of docs/design.md §5.
package failpoint
