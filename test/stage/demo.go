package stage

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Demo is the main function of a demo: it has run show everything until an interrupt,
// or with -check until the end of its story, and exits with 1 when that failed.
func Demo(run func(ctx context.Context, check bool) error) {
	check := flag.Bool("check", false, "stop at the end instead of staying up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *check)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo failed:", err)
		os.Exit(1)
	}
	fmt.Println("demo: everything it started is stopped")
}
