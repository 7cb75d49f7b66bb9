package rig

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Freeze stops the clock of a child process (SIGSTOP) and returns when the
// kernel has stopped all its threads: until then some go on answering.
func Freeze(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	for {
		// WNOWAIT leaves the state to whoever waits for the process's end.
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			if err != nil {
				return fmt.Errorf("wait until process %d has stopped: %w", pid, err)
			}
			return nil
		}
	}
}
