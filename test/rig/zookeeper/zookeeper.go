// Package zookeeper runs real ZooKeeper servers for tests: private processes on
// loopback ports and data directories of their own, which can be stopped, killed,
// frozen and restarted one by one.
package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berthdata/berth/test/rig"
)

const (
	// ClasspathVariable names a class path with ZooKeeper and what it needs, for
	// machines where it is not installed system-wide.
	ClasspathVariable = "BERTH_ZOOKEEPER_CLASSPATH"
	// RequireVariable set to 1 makes tests fail, not skip, without ZooKeeper.
	RequireVariable = "BERTH_TEST_REQUIRE_REAL"

	systemJars = "/usr/share/java"
	mainClass  = "org.apache.zookeeper.server.quorum.QuorumPeerMain"

	startWithin = 60 * time.Second
	stopWithin  = 15 * time.Second
	pollEvery   = 20 * time.Millisecond
	// startAttempts bounds the repeats after another process took a port between
	// the kernel naming it and the server binding it.
	startAttempts = 5
)

// Where a set-up without root leaves Debian's packages in the cache folder:
// unpacked in CacheFolder, with their jars in JarDir below it, and those that a
// class path needs named in ClasspathFile, one a line.
const (
	CacheFolder   = "zookeeper-debian"
	JarDir        = "usr/share/java"
	ClasspathFile = "classpath"
)

// Find is FindIn the rig's cache folder.
func Find() (classpath string, err error) {
	cache, err := rig.CacheDir()
	if err != nil {
		return "", err
	}
	return FindIn(cache)
}

// FindIn returns the class path of ZooKeeper: that of BERTH_ZOOKEEPER_CLASSPATH,
// of what was unpacked into the cache folder because the system had none, or of
// Debian's package. The error says how to install it.
func FindIn(cache string) (classpath string, err error) {
	if _, err := java(); err != nil {
		return "", err
	}
	if classpath = os.Getenv(ClasspathVariable); classpath != "" {
		return classpath, nil
	}
	if classpath = unpackedIn(cache); classpath != "" {
		return classpath, nil
	}
	jar := filepath.Join(systemJars, "zookeeper.jar") // its manifest names the rest
	if _, err := os.Stat(jar); err != nil {
		return "", fmt.Errorf("no ZooKeeper: %w; install with: apt-get install zookeeper, or set %s", err, ClasspathVariable)
	}
	// Without a logging backend the server says nothing about why it failed.
	return jar + ":" + filepath.Join(systemJars, "slf4j-simple.jar"), nil
}

// unpackedIn is the class path of the copy in the cache folder, "" without one.
func unpackedIn(cache string) string {
	list, err := os.ReadFile(filepath.Join(cache, CacheFolder, ClasspathFile))
	if err != nil {
		return ""
	}
	jars := strings.Fields(string(list))
	for i, jar := range jars {
		jars[i] = filepath.Join(cache, CacheFolder, JarDir, jar)
	}
	return strings.Join(jars, ":")
}

func java() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return filepath.Join(home, "bin", "java"), nil
	}
	path, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("no Java for ZooKeeper: %w; install with: apt-get install zookeeper", err)
	}
	return path, nil
}

// Require skips the test with -short, and when there is no ZooKeeper, which is a
// failure if BERTH_TEST_REQUIRE_REAL is 1.
func Require(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real ZooKeeper: not with -short")
	}
	if _, err := Find(); err != nil {
		if os.Getenv(RequireVariable) == "1" {
			t.Fatalf("%s=1: %v", RequireVariable, err)
		}
		t.Skipf("needs a real ZooKeeper: %v", err)
	}
}

// Options of a server; the zero value is good.
type Options struct {
	// Dir holds configuration, data and log; a new one is made when empty, and
	// removed by Close.
	Dir string
	// Tick is ZooKeeper's unit of time; default 2 s as in production. Session
	// timeouts are 2–20 ticks and are checked once a tick.
	Tick time.Duration
	// Fsync makes commits wait for the disk, as in production.
	Fsync bool
	// HeapMB is the server's heap in MiB; default 128. ZooKeeper keeps all data
	// and its last 500 transactions in memory.
	HeapMB int
}

// Server is one ZooKeeper process.
type Server struct {
	// Addr is host:port for clients; it stays the same over restarts.
	Addr string

	opts      Options
	ownDir    bool
	classpath string
	ensemble  string // the server.N lines, "" when standalone

	mu   sync.Mutex
	cmd  *exec.Cmd     // nil when stopped
	exit chan struct{} // closed when the process is gone
}

// Start runs a standalone server and returns when it serves. Call Close at the
// end; ctx bounds the start only.
func Start(ctx context.Context, opts Options) (*Server, error) {
	for attempt := 1; ; attempt++ {
		ports, err := freePorts(1)
		if err != nil {
			return nil, err
		}
		s, err := newServer(opts, ports[0], 0, "")
		if err != nil {
			return nil, err
		}
		if err = s.Restart(ctx); err == nil {
			return s, nil
		}
		_ = s.Close()
		if attempt == startAttempts || ctx.Err() != nil || !errors.Is(err, errExited) {
			return nil, err
		}
	}
}

// Run is Start for tests: it skips as Require does, and closes at the end.
func Run(t testing.TB, opts Options) *Server {
	t.Helper()
	Require(t)
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of ZooKeeper %s:\n%s", s.Addr, s.logTail())
		}
		_ = s.Close()
	})
	return s
}

func newServer(opts Options, clientPort, id int, ensemble string) (*Server, error) {
	classpath, err := Find()
	if err != nil {
		return nil, err
	}
	if opts.Tick == 0 {
		opts.Tick = 2 * time.Second
	}
	if opts.HeapMB == 0 {
		opts.HeapMB = 128
	}
	s := &Server{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(clientPort)),
		opts: opts, classpath: classpath, ensemble: ensemble,
	}
	if opts.Dir == "" {
		if s.opts.Dir, err = os.MkdirTemp("", "berth-zookeeper-"); err != nil {
			return nil, err
		}
		s.ownDir = true
	}
	data := filepath.Join(s.opts.Dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`tickTime=%d
initLimit=20
syncLimit=10
dataDir=%s
clientPort=%d
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
4lw.commands.whitelist=srvr
%s`, opts.Tick.Milliseconds(), data, clientPort, ensemble)
	if err := os.WriteFile(s.configFile(), []byte(config), 0o644); err != nil {
		return nil, err
	}
	if ensemble == "" {
		return s, nil
	}
	return s, os.WriteFile(filepath.Join(data, "myid"), []byte(strconv.Itoa(id)), 0o644)
}

func (s *Server) configFile() string { return filepath.Join(s.opts.Dir, "zoo.cfg") }
func (s *Server) logFile() string    { return filepath.Join(s.opts.Dir, "zookeeper.log") }

var errExited = errors.New("zookeeper exited while starting")

// Restart starts a stopped server on its old port and data, and returns when it
// serves clients.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.awaitServing(ctx)
}

func (s *Server) launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return fmt.Errorf("zookeeper %s runs already", s.Addr)
	}
	java, err := java()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fsync := "no"
	if s.opts.Fsync {
		fsync = "yes"
	}
	cmd := exec.Command(java,
		"-Xms32m", fmt.Sprintf("-Xmx%dm", s.opts.HeapMB), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Djava.net.preferIPv4Stack=true",
		"-Dzookeeper.forceSync="+fsync, "-Dzookeeper.preAllocSize=1024",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", s.classpath, mainClass, s.configFile())
	cmd.Stdout, cmd.Stderr = log, log
	// A process group of its own keeps the terminal's Ctrl-C from it; the death
	// signal keeps it from outliving a test process that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start zookeeper: %w", err)
	}
	exit := make(chan struct{})
	s.cmd, s.exit = cmd, exit
	go func() {
		_ = cmd.Wait() // its status tells nothing that the log does not
		s.mu.Lock()
		s.cmd = nil
		s.mu.Unlock()
		close(exit)
	}()
	return nil
}

func (s *Server) awaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	s.mu.Lock()
	exit := s.exit
	s.mu.Unlock()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		if _, err := s.Mode(); err == nil {
			return nil
		}
		select {
		case <-exit:
			return fmt.Errorf("%s: %w:\n%s", s.Addr, errExited, s.logTail())
		case <-ctx.Done():
			return fmt.Errorf("zookeeper %s does not serve: %w:\n%s", s.Addr, ctx.Err(), s.logTail())
		case <-poll.C:
		}
	}
}

// Mode returns "standalone", "leader" or "follower", or an error when the server
// does not serve clients.
func (s *Server) Mode() (string, error) {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(string(answer), "Mode: ")
	if !found {
		return "", fmt.Errorf("zookeeper %s: %s", s.Addr, bytes.TrimSpace(answer))
	}
	mode, _, _ := strings.Cut(rest, "\n")
	return mode, nil
}

// Pid is the server's process id, 0 when it is stopped.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Stop ends the process gracefully (SIGTERM), Kill at once (SIGKILL); both return
// when it is gone. Stopping a stopped server is not an error.
func (s *Server) Stop() error { return s.terminate(syscall.SIGTERM) }

// Kill is described at Stop.
func (s *Server) Kill() error { return s.terminate(syscall.SIGKILL) }

// Pause freezes the process: connections stay open and nothing answers.
func (s *Server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return fmt.Errorf("zookeeper %s is stopped", s.Addr)
	}
	return rig.Freeze(s.cmd.Process.Pid)
}

// Resume ends a Pause.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return fmt.Errorf("zookeeper %s is stopped", s.Addr)
	}
	return s.cmd.Process.Signal(sig)
}

func (s *Server) terminate(sig syscall.Signal) error {
	s.mu.Lock()
	cmd, exit := s.cmd, s.exit
	s.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(sig)
	_ = cmd.Process.Signal(syscall.SIGCONT) // a paused process dies only when it runs
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-exit:
		return nil
	case <-timer.C:
		_ = cmd.Process.Kill()
		<-exit
		return fmt.Errorf("zookeeper %s did not end within %v of %v and was killed", s.Addr, stopWithin, sig)
	}
}

// Close kills the process and removes a directory that Start made.
func (s *Server) Close() error {
	err := s.Kill()
	if s.ownDir {
		err = errors.Join(err, os.RemoveAll(s.opts.Dir))
	}
	return err
}

// logTail returns the end of the server's log.
func (s *Server) logTail() string {
	const tail = 4 << 10
	data, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-tail):])
}

// freePorts asks the kernel for ports, all at once so that they differ.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
