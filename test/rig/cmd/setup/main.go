// setup installs what Berth's tests and demo run: Mesos, ZooKeeper,
// Elasticsearch, and with -everything Spark.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/berthdata/berth/test/rig/setup"
)

func main() {
	want := setup.All()
	es := flag.String("es", "", "versions of Elasticsearch, separated by commas; default: those that are needed")
	everything := flag.Bool("everything", false, "also Spark and what builds the plugin for it")
	flag.Parse()
	if *everything {
		want = setup.Everything()
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "setup: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if *es != "" {
		want.Elasticsearch = strings.FieldsFunc(*es, func(r rune) bool { return r == ',' })
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := setup.Prepare(ctx, want, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}
