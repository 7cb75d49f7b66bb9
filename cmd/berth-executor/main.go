// Command berth-executor runs one task of Berth on a Mesos agent. The agent
// starts it and tells it everything by environment; it takes no flags for that.
//
//	berth-executor             run under a Mesos agent
//	berth-executor render ...  show what would be written and run
//	berth-executor --version
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/agent"
	"github.com/berthdata/berth/executor/node"
	"github.com/berthdata/berth/executor/process"
	"github.com/berthdata/berth/executor/spark"
	"github.com/berthdata/berth/executor/workload"
)

// version is set when the binary is linked.
var version = "dev"

// memoryLimit keeps the executor inside its 32 MiB share of the slot.
const memoryLimit = 20 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "berth-executor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		return serve()
	case args[0] == "render":
		return renderCommand(args[1:], os.Stdout)
	case args[0] == "--version" || args[0] == "-version" || args[0] == "version":
		fmt.Println("berth-executor", version)
		return nil
	}
	return fmt.Errorf("unknown argument %q: it is started by a Mesos agent, without arguments; or try render, or --version", args[0])
}

func serve() error {
	debug.SetMemoryLimit(memoryLimit)
	log := newLog()
	defer func() { _ = log.Sync() }()
	config, err := agent.ConfigFromEnv(os.Getenv)
	if err != nil {
		return err
	}
	if err := process.AdoptOrphans(); err != nil {
		log.Warn("orphans of the node go to init", zap.Error(err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.Info("berth-executor", zap.String("version", version), zap.String("executor", config.ExecutorID))
	return agent.Run(ctx, agent.Options{
		Config: config,
		Kinds: map[string]workload.New{
			executor.KindElasticsearch: node.New,
			executor.KindSparkDriver:   spark.New,
			executor.KindSparkExecutor: spark.New,
		},
		Log: log,
	})
}

// newLog writes to stderr, which the agent keeps in the sandbox without bound:
// so repeated messages are dropped beyond a few a minute.
func newLog() *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.ISO8601TimeEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoding), zapcore.Lock(os.Stderr), zap.InfoLevel)
	return zap.New(zapcore.NewSamplerWithOptions(core, time.Minute, 5, 0))
}
