package spark

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/executor"
)

// ownedProperties are Berth's: what the submission or a checkpoint says of them
// describes another place or another attempt.
var ownedProperties = []string{
	"spark.app.id", "spark.app.attempt.id", "spark.master", "spark.submit.deployMode", "spark.submit.pyFiles",
	"spark.jars", "spark.files", "spark.driver.supervise", "spark.driver.host", "spark.driver.bindAddress",
	"spark.driver.memory", "spark.driver.cores", "spark.local.dir",
}

// The properties in which the JVM's and the class path's own parts come first.
const (
	propertyDriverOptions   = "spark.driver.defaultJavaOptions"
	propertyDriverClassPath = "spark.driver.extraClassPath"
)

// checkpointProperty and checkpointVariable tell the application where its
// persistent volume is: the same path for every attempt on the same volume.
const (
	checkpointProperty = "spark.berth.checkpointDir"
	checkpointVariable = "BERTH_SPARK_CHECKPOINT_DIR"
)

// layout is where things are for one process.
type layout struct {
	home, java string // distribution and Java
	sandbox    string
	tmp, local string // folders of the sandbox that the process owns
	checkpoint string // "" = none
	// properties and token are the paths of files that the process inherits.
	properties, token string
}

// program is what to run.
type program struct {
	path string
	args []string
	env  map[string]string
}

// driverProgram is spark-submit in client mode.
func driverProgram(s *executor.Spark, l layout) program {
	d := s.Driver
	scheme := "spark-berth://"
	if d.TLS {
		scheme = "spark-berths://"
	}
	args := []string{
		"--master", scheme + strings.Join(d.Schedulers, ","),
		"--deploy-mode", "client",
		"--properties-file", l.properties,
	}
	if d.MainClass != "" {
		args = append(args, "--class", d.MainClass)
	}
	if len(d.PyFiles) > 0 {
		args = append(args, "--py-files", strings.Join(d.PyFiles, ","))
	}
	args = append(append(args, d.AppResource), d.Args...)
	return program{path: l.home + "/bin/spark-submit", args: args, env: driverEnvironment(s, l)}
}

// driverProperties is the content of the properties file: the application's own,
// with what Berth knows better.
func driverProperties(s *executor.Spark, l layout) string {
	d := s.Driver
	p := maps.Clone(d.Properties)
	if p == nil {
		p = map[string]string{}
	}
	for _, name := range ownedProperties {
		delete(p, name)
	}
	p["spark.driver.host"], p["spark.driver.bindAddress"] = s.Address, s.Address
	p["spark.driver.memory"] = strconv.FormatInt(s.HeapMiB, 10) + "m"
	p["spark.driver.cores"] = strconv.Itoa(processors(s.MilliCPUs))
	if len(d.Jars) > 0 {
		p["spark.jars"] = strings.Join(d.Jars, ",")
	}
	if len(d.Files) > 0 {
		p["spark.files"] = strings.Join(d.Files, ",")
	}
	// A port of the submitting machine's says nothing about this one's.
	if _, given := p["spark.ui.port"]; !given {
		p["spark.ui.port"] = "0"
	}
	p[propertyDriverClassPath] = joined(":", l.sandbox+"/"+d.Plugin, p[propertyDriverClassPath])
	p[propertyDriverOptions] = joined(" ", strings.Join(machineOptions(s, l), " "), p[propertyDriverOptions])
	if l.checkpoint != "" {
		p[checkpointProperty] = "file://" + l.checkpoint
	}
	return encodeProperties(p)
}

// driverEnvironment is the whole environment of a driver. The application's own
// identity comes last: nothing that was submitted can change it.
func driverEnvironment(s *executor.Spark, l layout) map[string]string {
	env := commonEnvironment(s, l)
	scheme := "http://"
	if s.Driver.TLS {
		scheme = "https://"
	}
	urls := make([]string, len(s.Driver.Schedulers))
	for i, hostPort := range s.Driver.Schedulers {
		urls[i] = scheme + hostPort
	}
	env["BERTH_SPARK_APP_ID"] = s.AppID
	env["BERTH_SPARK_ATTEMPT_ID"] = strconv.FormatInt(s.AttemptID, 10)
	env["BERTH_SPARK_TOKEN_FILE"] = l.token
	env["BERTH_SPARK_URLS"] = strings.Join(urls, ",")
	if l.checkpoint != "" {
		env[checkpointVariable] = l.checkpoint
	}
	return env
}

// notInherited are variables of the submitting client's own installation, and
// such as only Berth and Mesos set.
var notInherited = []string{
	"SPARK_HOME", "SPARK_CONF_DIR", "SPARK_ENV_LOADED", "SPARK_LOCAL_IP", "SPARK_LOCAL_DIRS", "SPARK_EXECUTOR_DIRS",
	"JAVA_HOME", "HOME",
}

// commonEnvironment is what drivers and executors have in common: the
// application's variables first, then what describes this machine.
func commonEnvironment(s *executor.Spark, l layout) map[string]string {
	env := map[string]string{"LANG": "C.UTF-8"}
	for name, value := range s.Environment {
		if !slices.Contains(notInherited, name) && !strings.HasPrefix(name, "BERTH_") && !strings.HasPrefix(name, "MESOS_") {
			env[name] = value
		}
	}
	env["HOME"] = l.sandbox
	env["SPARK_HOME"] = l.home
	env["JAVA_HOME"] = l.java
	// The UI listens where this says; bindAddress does not cover it.
	env["SPARK_LOCAL_IP"] = s.Address
	env["SPARK_LOCAL_DIRS"] = l.local
	env["MESOS_SANDBOX"] = l.sandbox
	return env
}

// machineOptions size the JVM to the task, not to the machine: a JVM that sees
// 64 processors starts as many threads to collect garbage.
func machineOptions(s *executor.Spark, l layout) []string {
	return []string{
		fmt.Sprintf("-XX:ActiveProcessorCount=%d", processors(s.MilliCPUs)),
		"-Djava.io.tmpdir=" + l.tmp,
	}
}

// processors are whole ones, rounded up.
func processors(milli int64) int { return int(max(1, (milli+999)/1000)) }

func joined(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), sep)
}
