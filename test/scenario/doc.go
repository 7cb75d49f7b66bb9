// Package scenario lets everything happen to the core in random order: a small,
// honest model of a Mesos master and its agents does what the core asks for, while
// agents part, masters and leaders fail and calls get lost. Checkers that share no
// code with the core look at the model after each step; once the faults stop, the
// core must reach exactly what is wanted. For a long run:
//
//	go test ./test/scenario -rapid.checks=5000 -rapid.steps=100
//
// Package stories, below, tells single
// courses of events word by word.
package scenario
