// Package spark installs Spark distributions for tests and the demo, and builds
// this project's backend plugin for them.
package spark
