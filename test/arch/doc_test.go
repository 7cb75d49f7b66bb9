// Package arch holds the project's architecture as tests: which packages are
// pure, who may import whom, and a few habits that a compiler does not check.
// Every rule is a function over parsed files, so that rules_test.go can feed it
// a bad file and see it object.
package arch
