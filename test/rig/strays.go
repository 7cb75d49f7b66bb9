package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxSweeps bounds the rounds in which strays are killed: a process may fork
// between the look and the kill.
const maxSweeps = 20

// emptyLooks is how many looks in a row must find nothing: a process that is just
// executing another program shows no environment for a moment.
const emptyLooks = 3

// Stray is a process that a rig's process left behind, such as the task of an
// agent that was killed.
type Stray struct {
	PID     int
	Command string
}

// Strays lists the processes that belong to the directory of a rig: those
// without a terminal whose initial environment names a path below dir, and all
// their descendants. Mesos gives every executor such a variable
// (MESOS_SANDBOX), and Start gives one to every process (BERTH_RIG). PWD and OLDPWD do
// not count: a program that a person starts from within dir has them too.
func Strays(dir string) ([]Stray, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	parent := map[int]int{}
	ours := map[int]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		st, ok := readStat(pid)
		if !ok || st.state == 'Z' {
			continue
		}
		parent[pid] = st.ppid
		ours[pid] = st.tty == 0 && environNames(pid, dir)
	}
	var out []Stray
	for pid := range parent {
		if descends(pid, parent, ours) {
			out = append(out, Stray{PID: pid, Command: commandLine(pid)})
		}
	}
	return out, nil
}

// descends tells whether pid or an ancestor of it is ours.
func descends(pid int, parent map[int]int, ours map[int]bool) bool {
	for range len(parent) + 1 {
		if ours[pid] {
			return true
		}
		up, ok := parent[pid]
		if !ok {
			return false
		}
		pid = up
	}
	return false
}

// KillStrays kills what Strays(dir) lists until nothing is left. Use it with a
// directory that a rig made.
func KillStrays(ctx context.Context, dir string) error {
	rounds, empty := 0, 0
	return Eventually(ctx, 20*time.Millisecond, "the end of processes left in "+dir, func(context.Context) error {
		left, err := Strays(dir)
		if err != nil {
			return Permanent(err)
		}
		if len(left) == 0 {
			if empty++; empty < emptyLooks {
				return errors.New("nothing is left by the last look")
			}
			return nil
		}
		empty = 0
		if rounds++; rounds > maxSweeps {
			return Permanent(fmt.Errorf("still there after %d rounds of SIGKILL: %v", maxSweeps, left))
		}
		for _, s := range left {
			if err := killStray(s.PID, dir); err != nil {
				return Permanent(err)
			}
		}
		return fmt.Errorf("%d left: %v", len(left), left)
	})
}

// killStray holds the process by a pidfd, looks at it once more and then kills
// it, so that a reused pid is never hit.
func killStray(pid int, dir string) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil // gone
	}
	defer p.Release()
	again, err := Strays(dir)
	if err != nil {
		return err
	}
	for _, s := range again {
		if s.PID != pid {
			continue
		}
		if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("kill process %d (%s), left in %s: %w", pid, s.Command, dir, err)
		}
	}
	return nil
}

type procStat struct {
	state     byte
	ppid, tty int
}

func readStat(pid int) (procStat, bool) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return procStat{}, false
	}
	// The command name is in parentheses and may hold anything.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return procStat{}, false
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 5 {
		return procStat{}, false
	}
	ppid, err1 := strconv.Atoi(f[1])
	tty, err2 := strconv.Atoi(f[4])
	return procStat{state: f[0][0], ppid: ppid, tty: tty}, err1 == nil && err2 == nil
}

// environNames tells whether a variable of the process, other than the shell's
// record of the working directory, holds a path below dir. Processes of other
// users cannot be read and are not ours.
func environNames(pid int, dir string) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	for _, kv := range bytes.Split(b, []byte{0}) {
		name, value, _ := strings.Cut(string(kv), "=")
		if name == "PWD" || name == "OLDPWD" {
			continue
		}
		if value == dir || strings.HasPrefix(value, dir+"/") {
			return true
		}
	}
	return false
}

func commandLine(pid int) string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return ""
	}
	s := strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
	if len(s) > 120 {
		s = s[:120] + "…"
	}
	return s
}
