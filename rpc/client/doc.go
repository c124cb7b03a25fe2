// Package client dials our own daemons by gRPC.
//
// What does not belong here: tablets, which speak baidu_std (rpc/baidustd), and what the services mean.
package client
