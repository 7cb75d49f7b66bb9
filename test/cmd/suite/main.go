// Command suite runs "go test" with the given arguments, passes its output on, and
// ends with a summary that says in a few lines how it went: how many packages are
// ok, which failed and in which tests, and how long it took. Its exit code is that
// of "go test".
//
//	suite -race -count=1 ./...
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"time"
)

func main() {
	began := time.Now()
	code, s, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
	}
	s.print(os.Stdout, time.Since(began), code == 0)
	os.Exit(code)
}

// run is one "go test"; everything that it says goes to out.
func run(args []string, out io.Writer) (code int, s summary, err error) {
	// An interrupt ends "go test" too, which belongs to the same terminal: wait for
	// it, and say how far it came.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	cmd := exec.Command("go", append([]string{"test"}, args...)...)
	r, w, err := os.Pipe()
	if err != nil {
		return 1, s, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return 1, s, errors.Join(err, r.Close(), w.Close())
	}
	if err := w.Close(); err != nil {
		return 1, s, err
	}
	err = s.read(io.TeeReader(r, out))
	var exit *exec.ExitError
	switch wait := cmd.Wait(); {
	case errors.As(wait, &exit):
		code = max(exit.ExitCode(), 1)
	case wait != nil:
		code, err = 1, errors.Join(err, wait)
	}
	return code, s, err
}
