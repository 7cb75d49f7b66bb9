package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/submission"
)

// submitFlags are those of spark-submit that mean something in cluster mode,
// by their names there, and the property that each stands for.
var submitFlags = []struct{ name, property, help string }{
	{"name", "spark.app.name", "the application's `name`, for people"},
	{"jars", "spark.jars", "`URIs` of jars for the class paths, with commas"},
	{"files", "spark.files", "`URIs` of files for the working folders, with commas"},
	{"py-files", "spark.submit.pyFiles", "`URIs` of .zip, .egg or .py files for Python's path, with commas"},
	{"driver-memory", "spark.driver.memory", "the driver's heap, such as `2g`"},
	{"driver-cores", "spark.driver.cores", "the driver's `cores`"},
	{"executor-memory", "spark.executor.memory", "an executor's heap, such as `2g`"},
	{"executor-cores", "spark.executor.cores", "an executor's `cores`"},
	{"num-executors", "spark.executor.instances", "`number` of executors"},
	{"total-executor-cores", "spark.cores.max", "`cores` of all executors together, instead of their number"},
}

func newSparkSubmitCommand(e *environment) *cobra.Command {
	var (
		class, version, file string
		confs                []string
		supervise, wait      bool
		timeout              time.Duration
	)
	values := make([]string, len(submitFlags))
	cmd := &cobra.Command{
		Use:   "submit [flags] APP [ARGUMENT...]",
		Short: "Submit an application as spark-submit does, without a Spark here",
		Long: `Submits a jar or .py file with the flags of spark-submit --deploy-mode cluster,
and prints the submission's id. No Spark is needed on this machine. APP and the
files are URIs that the agents read; nothing is uploaded.

Flags stand before APP: what comes after it belongs to the application. Secrets
go into a properties file, since arguments are seen by every user of a machine.

With --wait the command ends with the application, with exit code 1 unless that
has succeeded.`,
		Example: `  berth spark submit --spark-version 3.5.9 --class example.WordCount \
    --num-executors 4 --executor-memory 4g https://files.example/wordcount.jar hdfs:///in
  berth spark submit --spark-version 4.3.0 --wait hdfs:///jobs/report.py --day today`,
		Args: atLeastOne("the application's jar or .py file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := submission.Request{AppResource: args[0], MainClass: class, AppArgs: args[1:], ClientSparkVersion: version}
			var err error
			if r.SparkProperties, err = submitProperties(file, confs); err != nil {
				return err
			}
			for i, f := range submitFlags {
				if values[i] != "" {
					r.SparkProperties[f.property] = values[i]
				}
			}
			if supervise {
				r.SparkProperties["spark.driver.supervise"] = "true"
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			answer, err := c.Submit(cmd.Context(), r)
			if err != nil {
				return err
			}
			if e.output == outputText {
				fmt.Fprintf(e.err, "%s\n", clean(answer.Message))
				fmt.Fprintln(e.out, clean(answer.SubmissionID))
			} else if err := e.print(answer, nil); err != nil {
				return err
			}
			if !wait {
				return nil
			}
			phase, err := e.sparkWaiter(c, answer.SubmissionID, timeout).untilEnded(cmd.Context())
			if err == nil && phase != "Succeeded" {
				err = fmt.Errorf("application %s has not succeeded", answer.SubmissionID)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVar(&class, "class", "", "the main `class` of a jar")
	f.StringVar(&version, "spark-version", "", "exact `version` of Spark; may be left out when the scheduler has one only")
	f.StringArrayVar(&confs, "conf", nil, "`PROPERTY=VALUE`; repeat for more")
	f.StringVar(&file, "properties-file", "", "`file` of properties, as spark-defaults.conf is")
	f.BoolVar(&supervise, "supervise", false, "start the driver again when it fails")
	for i, s := range submitFlags {
		f.StringVar(&values[i], s.name, "", s.help)
	}
	addWaitFlags(cmd, &wait, &timeout, "the application has ended")
	return cmd
}

// submitProperties reads the file of properties and --conf, which wins.
func submitProperties(file string, confs []string) (map[string]string, error) {
	out := map[string]string{}
	if file != "" {
		if err := readProperties(file, out); err != nil {
			return nil, err
		}
	}
	for _, conf := range confs {
		name, value, given := strings.Cut(conf, "=")
		if !given || name == "" {
			return nil, usagef("--conf %q: must be PROPERTY=VALUE", conf)
		}
		out[name] = value
	}
	return out, nil
}

// readProperties reads lines of a name and a value, with a blank, = or : between
// them; empty ones and those that begin with # or ! are skipped. A backslash at
// the end goes on with the next line.
func readProperties(file string, into map[string]string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("properties file: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxPropertyLine)
	whole := ""
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if whole == "" && (line == "" || line[0] == '#' || line[0] == '!') {
			continue
		}
		if rest, more := strings.CutSuffix(line, `\`); more {
			whole += rest
			continue
		}
		whole += line
		end := strings.IndexAny(whole, " \t=:")
		if end < 0 {
			// The line is not quoted: somebody may have put a secret there.
			return fmt.Errorf("properties file %s: line %d has a name and no value", file, n)
		}
		value := strings.TrimLeft(whole[end:], " \t")
		value = strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(value, "="), ":"), " \t")
		into[whole[:end]] = value
		whole = ""
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("properties file %s: %w", file, err)
	}
	if whole != "" {
		return errors.New("properties file " + file + ": the last line goes on, but nothing follows")
	}
	return nil
}

const maxPropertyLine = 1 << 20
