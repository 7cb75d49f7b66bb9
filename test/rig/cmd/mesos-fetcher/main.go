// mesos-fetcher is the program that a Mesos agent runs to fill a sandbox; see
// package fetcher.
package main

import (
	"fmt"
	"os"

	"github.com/berthdata/berth/test/rig/mesos/fetcher"
)

func main() {
	info, err := fetcher.Parse(os.Getenv("MESOS_FETCHER_INFO"))
	if err == nil {
		err = fetcher.Run(info, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mesos-fetcher:", err)
		os.Exit(1)
	}
}
