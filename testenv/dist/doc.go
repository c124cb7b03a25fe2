// Package dist builds the release tarball as make dist does, unpacks it, and drives its bin/start.sh: what operators get is what is tested.
//
// What does not belong here: what the daemons do once they run (testenv/e2e), and how they are started without the package (testenv/daemons).
package dist
