// Package host is what a workload needs of the agent's machine: a user to run
// as, folders and files of that user's, a Java, and a volume that nobody else
// holds.
package host
