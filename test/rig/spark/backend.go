package spark

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/berthdata/berth/test/rig"
)

const (
	backendSource = "executor/spark-backend"
	backendJar    = "berth-spark-backend.jar"
)

// ErrNoBackend says that the backend plugin has not been built.
var ErrNoBackend = errors.New("not built: run make spark-backend")

// Backend is the path of the backend plugin that make has built.
func Backend(ctx context.Context) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	jar := filepath.Join(root, "bin", backendJar)
	if _, err := os.Stat(jar); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("backend plugin for Spark: %w", ErrNoBackend)
	}
	return jar, nil
}

// BuildBackend compiles and tests the backend plugin with Maven, whose
// repository is in the cache folder, and copies it to dest. The caller holds the
// cache's lock.
func BuildBackend(ctx context.Context, cache, version, dest string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	jdk, err := rig.FindJava(MinJava, true)
	if err != nil {
		return fmt.Errorf("spark backend: %w", err)
	}
	cmd := exec.CommandContext(ctx, "mvn", "-B", "-q", "-Dmaven.repo.local="+filepath.Join(cache, "m2"), "-Drevision="+version, "package")
	cmd.Dir = filepath.Join(root, filepath.FromSlash(backendSource))
	cmd.Env = append(os.Environ(), "JAVA_HOME="+jdk.Home)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("spark backend: mvn package in %s: %w:\n%s", backendSource, err, out)
	}
	jar, err := os.ReadFile(filepath.Join(root, "out", "spark-backend", backendJar))
	if err != nil {
		return fmt.Errorf("spark backend: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return fmt.Errorf("spark backend: %w", err)
	}
	// By renaming: a driver may have the file open.
	part := dest + ".part"
	if err := os.WriteFile(part, jar, 0o644); err != nil {
		return fmt.Errorf("spark backend: %w", err)
	}
	return os.Rename(part, dest)
}

func moduleRoot(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	return strings.TrimSpace(string(root)), nil
}
