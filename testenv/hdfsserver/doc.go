// Package hdfsserver runs a real HDFS for tests, from the jars that pom.xml names: NameNodes, DataNodes and a Kerberos KDC, each a Java process of its
// own that can be killed, frozen and started again.
//
// Every DataNode has a loopback address of its own (127.0.0.11, .12, …), as on a real cluster hosts are told apart by their addresses. Data lies in
// the test's directory. The processes die with the one that started them, however that one ends.
//
// Tests that need it carry the build tag hdfs and begin with Require, which fails with the remedy where Java or the jars are missing.
//
// What does not belong here: clients of HDFS, product code.
package hdfsserver
