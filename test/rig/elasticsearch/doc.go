// Package elasticsearch installs Elasticsearch for tests and starts clusters of
// it by hand, with plain command lines: the yardstick for what Berth does with
// the same nodes, and a counterpart for tests of the client.
package elasticsearch
