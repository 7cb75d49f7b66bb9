// Command berth is the scheduler's daemon and its command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// buildVersion is set by the build: -ldflags "-X main.buildVersion=1.2.3".
var buildVersion string

// version is this program's: the build's word, else the module's, else "dev".
func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func main() {
	os.Exit(run(os.Args[1:], &environment{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		getenv: os.Getenv, now: time.Now,
	}))
}

// run executes one command line and returns the process's exit code. The first
// interrupt ends the command's context; a second one ends the process.
func run(args []string, env *environment) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newRootCommand(env)
	root.SetArgs(args)
	return env.exitCode(root.ExecuteContext(ctx))
}
