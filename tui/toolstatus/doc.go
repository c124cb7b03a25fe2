// Package toolstatus is `omsync-tui tool-status`: what the helper's tool-status shows – the properties in use and the files of the progress mirror – and
// more: the mirror decoded, what is left over, whether the synctool answers, and what stands in ZooKeeper. Each part stands for itself: where ZooKeeper or
// the synctool is down, that is said and the rest is shown.
//
// What does not belong here: ZooKeeper's nodes themselves (daemon/coord, behind Env.Cluster), the helper's letters (tui/ctl).
package toolstatus
