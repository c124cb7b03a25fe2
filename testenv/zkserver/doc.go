// Package zkserver runs a real ZooKeeper for tests, from the jars that pom.xml names, and a proxy that breaks the way to it.
//
// A Server is a Java process of its own with a free port and a data directory of the test's. It dies with the process that started it, however
// that one ends. It can be stopped, killed, frozen, started again with its data or with none, and made to expire a session.
//
// Tests that need it carry the build tag zookeeper and begin with Require, which fails with the remedy where Java or the jars are missing. The same
// tests run without the tag against testenv/memzk.
//
// What does not belong here: clients of ZooKeeper, product code.
package zkserver
