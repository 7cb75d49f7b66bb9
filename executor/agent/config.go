package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	mesostime "github.com/mesos/mesos-go/api/v1/lib/time"
)

// Config is what the agent tells its executor, as MESOS_* in the environment.
type Config struct {
	URL         string // of the agent's executor API
	FrameworkID string
	ExecutorID  string
	Token       string // "" when the agent does not authenticate executors
	Sandbox     string
	// Checkpoint: the task outlives a restart of the agent, for at most
	// RecoveryTimeout. Without it the end of the connection is the end.
	Checkpoint      bool
	RecoveryTimeout time.Duration
	// BackoffMax is the longest wait between two attempts to subscribe.
	BackoffMax time.Duration
	// ShutdownGrace is how long the agent waits after SHUTDOWN before it
	// destroys the container.
	ShutdownGrace time.Duration
}

// Defaults of an agent that says nothing.
const (
	defaultRecoveryTimeout = 15 * time.Minute
	defaultBackoffMax      = 2 * time.Second
	defaultShutdownGrace   = 5 * time.Second
)

// ConfigFromEnv reads the environment that an agent gives its executor. The
// error names every variable that is missing or wrong.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	var errs []error
	need := func(name string) string {
		v := getenv(name)
		if v == "" {
			errs = append(errs, fmt.Errorf("%s is not set", name))
		}
		return v
	}
	duration := func(name string, unset time.Duration) time.Duration {
		v := getenv(name)
		if v == "" {
			return unset
		}
		d, err := mesostime.ParseDuration(v)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return d
	}
	c := Config{
		FrameworkID:     need("MESOS_FRAMEWORK_ID"),
		ExecutorID:      need("MESOS_EXECUTOR_ID"),
		Token:           getenv("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"),
		Sandbox:         getenv("MESOS_SANDBOX"),
		Checkpoint:      getenv("MESOS_CHECKPOINT") == "1" || getenv("MESOS_CHECKPOINT") == "true",
		RecoveryTimeout: duration("MESOS_RECOVERY_TIMEOUT", defaultRecoveryTimeout),
		BackoffMax:      duration("MESOS_SUBSCRIPTION_BACKOFF_MAX", defaultBackoffMax),
		ShutdownGrace:   duration("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", defaultShutdownGrace),
	}
	if c.Sandbox == "" {
		c.Sandbox = need("MESOS_DIRECTORY")
	}
	// The path begins with the agent's process name, which is slave(1) as a
	// rule, but another number where several agents share one process.
	endpoint, pid := need("MESOS_AGENT_ENDPOINT"), need("MESOS_SLAVE_PID")
	name, _, ok := strings.Cut(pid, "@")
	if pid != "" && !ok {
		errs = append(errs, fmt.Errorf("MESOS_SLAVE_PID is %q, not of the form slave(1)@host:port", pid))
	}
	scheme := "http"
	if v := getenv("LIBPROCESS_SSL_ENABLED"); v == "1" || v == "true" {
		scheme = "https"
	}
	c.URL = scheme + "://" + endpoint + "/" + name + "/api/v1/executor"
	if len(errs) > 0 {
		return Config{}, fmt.Errorf("not started by a Mesos agent? %w", errors.Join(errs...))
	}
	return c, nil
}
