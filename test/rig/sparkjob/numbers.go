package sparkjob

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berthdata/berth/test/rig"
)

// Numbers is the input of a streaming job, files with the numbers 0, 1, 2 … in
// them, and the ledger in which the job notes those that it has seen.
type Numbers struct {
	// Input and Ledger are folders; every user may write to the ledger.
	Input, Ledger string

	part string

	mu      sync.Mutex
	files   int
	written int
}

// NewNumbers makes the folders below one of the rig's.
func NewNumbers(r *rig.Rig, name string) (*Numbers, error) {
	var n Numbers
	for _, d := range []struct {
		to   *string
		name string
	}{{&n.Input, "input"}, {&n.Ledger, "ledger"}, {&n.part, "part"}} {
		dir, err := r.Mkdir(name, d.name)
		if err != nil {
			return nil, err
		}
		*d.to = dir
	}
	return &n, os.Chmod(n.Ledger, 0o777)
}

// Write lets one more file of count numbers appear, at once and whole.
func (n *Numbers) Write(count int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	for i := range count {
		b.WriteString(strconv.Itoa(n.written+i) + "\n")
	}
	name := fmt.Sprintf("%06d.txt", n.files)
	part := filepath.Join(n.part, name)
	if err := os.WriteFile(part, []byte(b.String()), 0o644); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(n.Input, name)); err != nil {
		return err
	}
	n.files++
	n.written += count
	return nil
}

// Written is how many numbers there are.
func (n *Numbers) Written() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.written
}

// Keep writes a file of count numbers at every interval, until stop is called or
// ctx ends. stop waits for the end of the last one.
func (n *Numbers) Keep(ctx context.Context, count int, every time.Duration) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-tick.C:
				if err := n.Write(count); err != nil {
					ended <- err
					return
				}
			}
		}
	}()
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// Batch is a file of the ledger.
type Batch struct {
	Application string `json:"application"`
	Attempt     int64  `json:"attempt"`
	Batch       int    `json:"batch"`
	Numbers     []int  `json:"numbers"`
}

// Batches are those in the ledger, in their order.
func (n *Numbers) Batches() ([]Batch, error) {
	files, err := filepath.Glob(filepath.Join(n.Ledger, "batch-*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	batches := make([]Batch, len(files))
	for i, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &batches[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return batches, nil
}

// Seen is how many entries the ledger has.
func (n *Numbers) Seen() (int, error) {
	batches, err := n.Batches()
	seen := 0
	for _, b := range batches {
		seen += len(b.Numbers)
	}
	return seen, err
}

// Check demands that the ledger has each number that was written exactly once.
func (n *Numbers) Check() error {
	batches, err := n.Batches()
	if err != nil {
		return err
	}
	written := n.Written()
	in := make([]int, written) // batch + 1 of each number
	seen := 0
	for _, b := range batches {
		for _, number := range b.Numbers {
			switch {
			case number < 0 || number >= written:
				return fmt.Errorf("batch %d has %d, which was not written", b.Batch, number)
			case in[number] != 0:
				return fmt.Errorf("%d is in batch %d and in batch %d", number, in[number]-1, b.Batch)
			}
			in[number] = b.Batch + 1
			seen++
		}
	}
	if seen != written {
		return fmt.Errorf("%d of %d numbers are in the ledger; the first that is missing is %d", seen, written, slices.Index(in, 0))
	}
	return nil
}

// WaitSeen waits until everything that was written by now is in the ledger.
func (n *Numbers) WaitSeen(ctx context.Context) error {
	want := n.Written()
	return rig.Eventually(ctx, 100*time.Millisecond, fmt.Sprintf("%d numbers in the ledger", want), func(context.Context) error {
		seen, err := n.Seen()
		if err == nil && seen < want {
			err = fmt.Errorf("there are %d", seen)
		}
		return err
	})
}
