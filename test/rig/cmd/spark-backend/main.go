// spark-backend builds the backend plugin that Spark drivers carry, and runs its
// unit tests.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/rig/spark"
)

func main() {
	version := flag.String("version", "dev", "of the project, for the jar's manifest")
	out := flag.String("o", "bin/berth-spark-backend.jar", "where to put the jar")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "spark-backend: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := build(ctx, *version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "spark-backend:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, version, out string) error {
	assets, err := setup.Prepare(ctx, setup.Want{Maven: true}, os.Stdout)
	if err != nil {
		return err
	}
	unlock, err := rig.LockCache(ctx, assets.Cache, func() { fmt.Println("waiting for another set-up on this machine") })
	if err != nil {
		return err
	}
	defer unlock()
	began := time.Now()
	if err := spark.BuildBackend(ctx, assets.Cache, version, out); err != nil {
		return err
	}
	fmt.Printf("%-14s %-10s built and tested in %s  %s\n", "spark-backend", version, time.Since(began).Round(100*time.Millisecond), out)
	return nil
}
