package berth

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// KillNode kills the server process of an Elasticsearch node with SIGKILL, as a
// crash would. Only processes below a rig's directory are looked at: dir.
func KillNode(dir, node string) (pid int, err error) {
	return kill(dir, node, "org.elasticsearch")
}

// KillSparkDriver kills the JVM of a Spark driver, by its slot's name.
func KillSparkDriver(dir, slot string) (pid int, err error) {
	return kill(dir, slot, "org.apache.spark.deploy.SparkSubmit")
}

// KillSparkExecutor kills the JVM of a Spark executor, by its slot's name.
func KillSparkExecutor(dir, slot string) (pid int, err error) {
	return kill(dir, slot, "CoarseGrainedExecutorBackend")
}

func kill(dir, node, program string) (pid int, err error) {
	pids, err := processes(dir, node, program)
	if err != nil {
		return 0, err
	}
	if len(pids) == 0 {
		return 0, fmt.Errorf("no process of %s runs below %s", node, dir)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return pid, err
		}
	}
	return pids[0], nil
}

// KillExecutor kills the executor of a node's task with SIGKILL.
func KillExecutor(dir, node string) (pid int, err error) {
	pids, err := processes(dir, node, "berth-executor")
	if err != nil {
		return 0, err
	}
	if len(pids) == 0 {
		return 0, fmt.Errorf("no executor of node %s runs below %s", node, dir)
	}
	return pids[0], syscall.Kill(pids[0], syscall.SIGKILL)
}

// processes finds the processes of a program whose environment names a sandbox
// of the node's task below dir.
func processes(dir, node, program string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || !bytes.Contains(cmdline, []byte(program)) {
			continue
		}
		cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		environ, envErr := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil && envErr != nil {
			continue
		}
		where := cwd + "\x00" + string(environ)
		if strings.Contains(where, dir) && strings.Contains(where, "executors/"+node+".") {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
