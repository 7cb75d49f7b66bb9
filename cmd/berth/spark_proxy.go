package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
)

func newSparkProxyCommand(e *environment) *cobra.Command {
	var scheme string
	cmd := &cobra.Command{
		Use:   "proxy [--scheme spark|mesos] -- spark-submit [ARGUMENT...]",
		Short: "Run your own spark-submit with Berth's token and TLS",
		Long: `Runs a command, such as spark-submit, and gives it a Spark master that leads to
Berth: spark-submit itself can send neither a token nor TLS. The master is an
address on loopback with a secret path; it is told in the variable MASTER, that
only your own processes can read, and ends with the command. Leave --master and
--deploy-mode out.

Python on Spark 3.5 wants --scheme mesos.

The exit code is the command's, or 1 when Berth has refused a submission:
spark-submit would end with 0 then.`,
		Example: `  berth spark proxy -- spark-submit --class example.WordCount https://files.example/wordcount.jar hdfs:///in
  berth spark proxy --scheme mesos -- spark-submit hdfs:///jobs/report.py
  berth spark proxy -- spark-submit --status driver-20240506070809-k3x9qa`,
		Args: atLeastOne("the command to run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if scheme != "spark" && scheme != "mesos" {
				return usagef("--scheme %q: must be spark or mesos", scheme)
			}
			for _, arg := range args {
				if arg == "--master" || strings.HasPrefix(arg, "--master=") {
					return usagef("leave --master out: it would lead past Berth")
				}
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			return e.proxied(cmd.Context(), c, scheme, args)
		},
	}
	cmd.Flags().StringVar(&scheme, "scheme", "spark", "kind of master that the command is told: spark or mesos")
	return cmd
}

func (e *environment) proxied(ctx context.Context, c *client.Client, scheme string, args []string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("a port on loopback: %w", err)
	}
	p := newProxy(c)
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	defer func() {
		_ = srv.Close()
		<-served
	}()
	child := exec.CommandContext(ctx, args[0], submitArguments(args)...)
	child.Stdin, child.Stdout, child.Stderr = e.in, e.out, e.err
	child.Env = append(os.Environ(), "MASTER="+scheme+"://"+ln.Addr().String()+"/"+p.secret, "DEPLOY_MODE=cluster")
	err = child.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return verdictError{exit.ExitCode()} // it has said what it had to say
	case err != nil:
		return err
	case p.refused.Load():
		return errors.New("a submission was not taken; the reason stands above")
	}
	return nil
}

// submitArguments adds what makes spark-submit speak the submission protocol.
func submitArguments(args []string) []string {
	if filepath.Base(args[0]) != "spark-submit" {
		return args[1:]
	}
	return append([]string{"--conf", "spark.master.rest.enabled=true"}, args[1:]...)
}

// proxy sends calls of Spark's submission protocol on, for those who know its
// secret path.
type proxy struct {
	client  *client.Client
	secret  string
	refused atomic.Bool
}

func newProxy(c *client.Client) *proxy {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails (crypto/rand)
	return &proxy{client: c, secret: hex.EncodeToString(secret)}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secret, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	path, known := strings.CutPrefix(path, submission.Version+"/submissions/")
	if subtle.ConstantTimeCompare([]byte(secret), []byte(p.secret)) != 1 || !known || strings.Contains(path, "..") {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, v1.MaxDocument))
	if err != nil {
		p.fail(w, http.StatusRequestEntityTooLarge, err)
		return
	}
	answer, err := p.client.ForwardSubmission(r.Context(), r.Method, path, r.Header.Get("Content-Type"), body)
	if err != nil {
		p.fail(w, http.StatusBadGateway, err)
		return
	}
	var said submission.Response
	if json.Unmarshal(answer.Body, &said) != nil || !said.Accepted() {
		p.refused.Store(true)
	}
	w.Header().Set("Content-Type", answer.ContentType)
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body)
}

// fail answers in the form in which spark-submit shows a message.
func (p *proxy) fail(w http.ResponseWriter, status int, err error) {
	p.refused.Store(true)
	content, failure := json.Marshal(submission.Response{Action: submission.ErrorResponse, ServerSparkVersion: "none", Message: err.Error()})
	if failure != nil {
		status, content = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSpace(content))
}
