package rig

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

const (
	// unit is the size of the grid on which ports are leased. The first port
	// of a unit is its guard, so a lease holds up to unit-1 ports.
	unit = 64
	// MaxPorts is the most that one lease holds.
	MaxPorts = unit - 1

	firstPort = 10000
	lastPort  = 65535

	ephemeralFile = "/proc/sys/net/ipv4/ip_local_port_range"
)

// Ports is a lease of consecutive ports on 127.0.0.1, safe from other rigs of
// any user and from outgoing connections.
//
// The lease is a listening socket on the port before the first: the kernel
// gives it to one program only and takes it back when that program ends,
// however it ends. The ports lie outside the kernel's ephemeral range, so no
// outgoing connection takes one between the lease and its use.
type Ports struct {
	// First and Last are the ends of the range, both included.
	First, Last int

	mu    sync.Mutex
	next  int
	guard net.Listener
}

// LeasePorts leases n ports, at most MaxPorts, all of which were free.
func LeasePorts(n int) (*Ports, error) {
	if n < 1 || n > MaxPorts {
		return nil, fmt.Errorf("lease ports: %d asked for, a lease holds 1 to %d", n, MaxPorts)
	}
	units := portUnits()
	// Programs that start together begin at different places, which saves
	// them from probing each other's units one after the other.
	offset := os.Getpid() * 7
	for i := range units {
		if p := tryLease(units[(offset+i)%len(units)], n); p != nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("lease ports: none of %d blocks of %d ports is free on 127.0.0.1: stop other programs or narrow %s",
		len(units), unit, ephemeralFile)
}

// Take hands out the ports of the lease one by one.
func (p *Ports) Take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next > p.Last {
		return 0, fmt.Errorf("take a port: all of %d-%d are taken", p.First, p.Last)
	}
	p.next++
	return p.next - 1, nil
}

// Release ends the lease.
func (p *Ports) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.guard != nil {
		p.guard.Close()
		p.guard = nil
	}
}

// portUnits lists the first ports of the grid's units outside the ephemeral
// range, or of the whole grid where that range leaves no room.
func portUnits() []int {
	low, high, err := ephemeralRange()
	var outside, all []int
	for first := firstPort; first+unit-1 <= lastPort; first += unit {
		all = append(all, first)
		if err == nil && (first+unit-1 < low || first > high) {
			outside = append(outside, first)
		}
	}
	if len(outside) == 0 {
		return all
	}
	return outside
}

func ephemeralRange() (low, high int, err error) {
	b, err := os.ReadFile(ephemeralFile)
	if err != nil {
		return 0, 0, err
	}
	f := strings.Fields(string(b))
	if len(f) != 2 {
		return 0, 0, fmt.Errorf("%s: want two numbers, got %q", ephemeralFile, b)
	}
	low, errLow := strconv.Atoi(f[0])
	high, errHigh := strconv.Atoi(f[1])
	return low, high, errors.Join(errLow, errHigh)
}

// tryLease takes the unit at first, or returns nil when its guard or one of its
// n ports is in use: the latter are those of a program that outlived its rig,
// or of one that knows nothing of the grid.
func tryLease(first, n int) *Ports {
	guard, err := listen(first)
	if err != nil {
		return nil
	}
	for port := first + 1; port <= first+n; port++ {
		l, err := listen(port)
		if err != nil {
			guard.Close()
			return nil
		}
		l.Close()
	}
	return &Ports{First: first + 1, Last: first + n, next: first + 1, guard: guard}
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
