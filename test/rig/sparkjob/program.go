package sparkjob

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/spark"
)

// Serve serves a folder on a port of the rig's until it closes, as a repository of
// programs does, and returns its URL.
func Serve(r *rig.Rig, dir string) (string, error) {
	ports, err := r.Lease(1)
	if err != nil {
		return "", err
	}
	port, err := ports.Take()
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", fmt.Errorf("serve %s: %w", dir, err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	r.OnClose("files of "+dir, func(context.Context) error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return "http://" + listener.Addr().String(), nil
}

// Compile makes a jar of a class in Java, for a line of Spark.
func Compile(ctx context.Context, home spark.Home, source, jar string) error {
	jdk, err := rig.FindJava(spark.MinJava, true)
	if err != nil {
		return fmt.Errorf("compile %s: %w", source, err)
	}
	classes, err := os.MkdirTemp(filepath.Dir(jar), "classes")
	if err != nil {
		return err
	}
	defer os.RemoveAll(classes)
	for _, command := range [][]string{
		{jdk.Tool("javac"), "--release", "17", "-cp", home.Classpath(), "-d", classes, source},
		{jdk.Tool("jar"), "--create", "--file", jar, "-C", classes, "."},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("compile %s: %s: %w\n%s", source, strings.Join(command, " "), err, out)
		}
	}
	return os.Chmod(jar, 0o644)
}
