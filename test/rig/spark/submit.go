package spark

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// logging makes the client show the answers to --status: it logs them, and
// silences all loggers that have no setting of their own.
const logging = `
rootLogger.level = info
rootLogger.appenderRef.out.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %m%n
logger.rest.name = org.apache.spark.deploy.rest
logger.rest.level = info
`

// Client is the command of spark-submit, or of a program around it, that shows
// what a submission server answers. It runs in dir, in which it has its settings.
func (h Home) Client(ctx context.Context, dir string, env []string, args ...string) (*exec.Cmd, error) {
	settings := filepath.Join(dir, "log4j2.properties")
	if err := os.WriteFile(settings, []byte(logging), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SPARK_SUBMIT_OPTS=-Dlog4j2.configurationFile="+settings,
		"SPARK_HOME="+h.Dir, "JAVA_HOME="+h.Java.Home, "SPARK_LOCAL_IP=127.0.0.1")
	cmd.Env = append(cmd.Env, env...)
	return cmd, nil
}
