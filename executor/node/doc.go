// Package node runs one Elasticsearch node on an agent: it takes hold of the
// volume, prepares the sandbox, starts the process and watches it join.
//
// The order matters for safety. The volume is locked and found to be ours
// before anything is written to it, and the lock is inherited by the node, so
// that it holds for as long as the node lives, even if the executor is killed.
package node
