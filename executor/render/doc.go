// Package render turns a launch document and the facts of one agent into the
// files, environment and command line of one Elasticsearch node. It is pure:
// it reads nothing, so that every version's outcome can be held in a golden file.
//
// What differs between versions is decided in one place each: the settings in
// settings.go, the JVM in jvm.go, the command in render.go.
package render
