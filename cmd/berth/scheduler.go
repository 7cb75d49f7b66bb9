package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/yaml"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/app"
)

// newSchedulerCommand is the daemon's verb.
func newSchedulerCommand() *cobra.Command {
	o := app.Defaults()
	var configFile, logLevel, logFormat string
	cmd := &cobra.Command{
		Use:   "scheduler",
		Short: "Run the Berth scheduler",
		Long: `Run the Berth scheduler: a Mesos framework that serves the REST API.

Each flag can also be set by the environment, as BERTH_ and the flag's name in
capitals with underscores (BERTH_MESOS_ROLES), or in a YAML file of flag names
and values (--config). The command line wins over the environment, and that
over the file. Secrets are read from files named by flags, never from flags.

Several schedulers with the same ZooKeeper elect a leader; the others redirect
to it. SIGTERM hands over: nodes go on running and the framework stays registered.
SIGHUP reads the tokens file again.`,
		Example: `  # production: state in ZooKeeper, tokens and TLS
  berth scheduler --mesos zk://zk1:2181,zk2:2181,zk3:2181/mesos \
    --zookeeper zk1:2181,zk2:2181,zk3:2181 --mesos-roles data \
    --listen 0.0.0.0:8080 --advertise https://berth.example:8080 \
    --tokens-file /etc/berth/tokens --tls-cert cert.pem --tls-key key.pem \
    --elasticsearch 8.19.21=uri=https://files.example/elasticsearch-8.19.21.tar.gz

  # one machine, state in a directory
  berth scheduler --dev ./state --mesos http://127.0.0.1:5050 \
    --elasticsearch 8.19.21=home=/opt/elasticsearch-8.19.21`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := layer(cmd.LocalFlags(), configFile); err != nil {
				return err
			}
			log, err := newLogger(logLevel, logFormat)
			if err != nil {
				return err
			}
			o.Version = version()
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return runScheduler(ctx, o, log)
		},
	}
	f := cmd.Flags()
	f.StringVar(&configFile, "config", "", "YAML `file` of flag names and values")
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&logFormat, "log-format", "json", "json or console")
	f.StringVar(&o.Listen, "listen", o.Listen, "`address` of the API; anything but loopback needs --tokens-file or --insecure")
	f.StringVar(&o.Advertise, "advertise", o.Advertise, "base `URL` at which agents and other schedulers reach this one (default: made from --listen)")
	f.StringVar(&o.TLSCert, "tls-cert", "", "certificate `file` of the API")
	f.StringVar(&o.TLSKey, "tls-key", "", "key `file` of the API")
	f.StringVar(&o.TokensFile, "tokens-file", "", "`file` of bearer tokens, see berth token new")
	f.BoolVar(&o.Insecure, "insecure", false, "let everybody who reaches the API do everything")
	f.StringVar(&o.Masters, "mesos", "", "Mesos masters: zk://host:port,…/`path` or a list of URLs")
	f.StringVar(&o.FrameworkName, "mesos-name", o.FrameworkName, "the framework's `name`")
	f.StringVar(&o.FrameworkUser, "mesos-user", currentUser(), "the framework's default Unix `user` on agents; cannot be changed later")
	f.StringSliceVar(&o.Roles, "mesos-roles", o.Roles, "Mesos `roles`, the first is the default; share them with no other framework")
	f.StringVar(&o.Principal, "mesos-principal", "", "Mesos `principal`; cannot be changed later")
	f.StringVar(&o.SecretFile, "mesos-secret-file", "", "`file` with the principal's secret")
	f.DurationVar(&o.FailoverTimeout, "failover-timeout", o.FailoverTimeout, "how long Mesos keeps nodes running without a scheduler")
	f.StringVar(&o.MachineAttribute, "machine-attribute", "", "agent `attribute` that identifies the machine (default: the hostname)")
	f.StringVar(&o.ZooKeeper, "zookeeper", "", "ZooKeeper `servers` for the state: host:port,host:port/chroot")
	f.StringVar(&o.ZooKeeperRoot, "zookeeper-root", o.ZooKeeperRoot, "`path` of the state in ZooKeeper")
	f.StringVar(&o.ZooKeeperAuth, "zookeeper-auth-file", "", "`file` with user:password for ZooKeeper's digest scheme")
	f.DurationVar(&o.SessionTimeout, "session-timeout", o.SessionTimeout, "ZooKeeper session: how soon a crashed leader is replaced")
	f.StringVar(&o.DevDir, "dev", "", "keep the state in this `directory` instead of ZooKeeper (one scheduler, one machine)")
	f.StringVar(&o.ExecutorPath, "executor", "", "the berth-executor binary given to agents (default: the one beside this program)")
	f.StringVar(&o.TaskUser, "task-user", "", "Unix `user` that executors run as on agents (default: the framework's)")
	f.StringVar(&o.NodeUser, "node-user", o.NodeUser, "Unix `user` that a node runs as when its executor runs as root")
	f.DurationVar(&o.KillGrace, "kill-grace", o.KillGrace, "time between SIGTERM and SIGKILL of a node")
	f.DurationVar(&o.Retention, "retention", o.Retention, "how long the volumes of a deleted cluster are kept at least")
	f.StringArrayVar(&o.Elasticsearch, "elasticsearch", nil, "a version and where it is: `VERSION=home=/path` or VERSION=uri=URL, then ,javaHome=/path; repeat for more")
	f.StringArrayVar(&o.Spark, "spark", nil, "the same for Spark; without it no applications are run")
	f.StringVar(&o.SparkBackend, "spark-backend", "", "the `jar` given to Spark drivers (default: "+scheduler.SparkBackend+" beside this program)")
	f.StringVar(&o.SparkUser, "spark-user", o.SparkUser, "Unix `user` that Spark's drivers and executors run as when theirs runs as root")
	f.StringSliceVar(&o.SparkSubmitters, "spark-submitters", nil, "`networks`, such as 10.1.0.0/16, whose clients may submit with spark-submit, which can send no token")
	f.StringVar(&o.SparkSubmitListen, "spark-submit-listen", "", "further `address` for submissions only, without TLS, which spark-submit cannot speak")
	f.StringArrayVar(&o.SparkDefaults, "spark-default", nil, "`NAME=VALUE` of a Spark property for submissions that do not set it; repeat for more")
	f.StringVar(&o.SparkUIDomain, "spark-ui-domain", "", "`domain` below which each application's UI has its own name: wordcount.DOMAIN")
	f.StringSliceVar(&o.SparkSchedulers, "spark-schedulers", nil, "base `URLs` of every scheduler, for Spark drivers (default: --advertise)")
	return cmd
}

func runScheduler(ctx context.Context, o app.Options, log *zap.Logger) error {
	a, err := app.New(o, log)
	if err != nil {
		return err
	}
	log.Info("listening", zap.String("address", a.Addr()), zap.String("version", o.Version))
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for {
			select {
			case <-hangup:
				if err := a.ReloadTokens(); err != nil {
					log.Error("the tokens stay as they were", zap.Error(err))
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	err = a.Run(ctx)
	_ = log.Sync() // stderr cannot always be synced
	return err
}

// layer fills in the flags that the command line left alone: from the
// environment, then from the file.
func layer(flags *pflag.FlagSet, file string) error {
	fromFile := map[string]any{}
	if file == "" {
		file = os.Getenv("BERTH_CONFIG")
	}
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := yaml.UnmarshalStrict(raw, &fromFile); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	var errs []error
	for key := range fromFile {
		if flags.Lookup(key) == nil || key == "config" || key == "help" {
			errs = append(errs, fmt.Errorf("%s: %q is not a flag of berth scheduler", file, key))
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "config" || f.Name == "help" {
			return
		}
		env := "BERTH_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(env); ok {
			if err := flags.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("environment %s: %w", env, err))
			}
			return
		}
		for _, v := range values(fromFile[f.Name]) {
			if err := flags.Set(f.Name, v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", file, f.Name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// values are the texts of a file's value: one, or one per item of a list.
func values(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var out []string
		for _, item := range v {
			out = append(out, fmt.Sprint(item))
		}
		return out
	default:
		return []string{fmt.Sprint(v)}
	}
}

func newLogger(level, format string) (*zap.Logger, error) {
	lvl, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	cfg := zap.NewProductionConfig()
	cfg.Level = zap.NewAtomicLevelAt(lvl)
	cfg.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.Sampling = nil // every decision counts when something went wrong
	cfg.DisableStacktrace = true
	switch format {
	case "json":
	case "console":
		cfg.Encoding = "console"
	default:
		return nil, fmt.Errorf("--log-format: %q is neither json nor console", format)
	}
	return cfg.Build()
}

func currentUser() string {
	if u := os.Getenv("USER"); u != "" {
		return u
	}
	return "root"
}
