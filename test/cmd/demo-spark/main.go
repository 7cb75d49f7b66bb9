// Command demo-spark shows a Spark streaming job that Berth runs on Mesos, on real
// parts: it is scaled while it runs, its driver is killed, and it has counted
// everything exactly once.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/rig/spark"
	"github.com/berthdata/berth/test/rig/sparkjob"
	"github.com/berthdata/berth/test/stage"
)

const (
	programs = "test/spark/testdata"
	name     = "count"
	// limit bounds the demo up to its end; staying up is not counted.
	limit = 10 * time.Minute
)

func main() { stage.Demo(run) }

// show is the demo under way.
type show struct {
	*stage.Stage
	began   time.Time
	numbers *sparkjob.Numbers
}

// say tells what happens, with the time since the start.
func (s *show) say(format string, args ...any) {
	fmt.Printf("[%5.1fs] %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func run(ctx context.Context, check bool) (err error) {
	s := &show{began: time.Now()}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s.Stage, err = stage.Open(bounded, "demo-spark", setup.Want{Mesos: true, ZooKeeper: true, Spark: spark.Versions[:1]}, s.say, os.Stdout)
	defer func() {
		s.say("stopping what the demo started")
		err = errors.Join(err, s.Close())
	}()
	if err != nil {
		return err
	}
	// Input goes on for as long as the demo.
	writing, stop := context.WithCancel(ctx)
	defer stop()
	write := func() error { return nil }
	defer func() { err = errors.Join(err, write()) }()
	if s.numbers, err = sparkjob.NewNumbers(s.Rig, "numbers"); err != nil {
		return err
	}
	write = s.numbers.Keep(writing, 10, 250*time.Millisecond)
	if err := s.job(bounded); err != nil {
		return err
	}
	if check {
		return s.finish(bounded, write)
	}
	fmt.Printf("\nEverything stays up until Ctrl-C, and input goes on. Try, in another terminal:\n"+
		"  export BERTH_SERVER=%s\n  %s spark status %s\n  %s spark scale %s 2\n  %s events -f\nSpark's own UI: %s/v1/spark/%s/ui/\n\n",
		s.Berth.URL(), s.Binaries.Scheduler, name, s.Binaries.Scheduler, name, s.Binaries.Scheduler, s.Berth.URL(), name)
	<-ctx.Done()
	return nil
}

// job is the story: apply, scale up, kill the driver, scale down.
func (s *show) job(ctx context.Context) error {
	repository, err := sparkjob.Serve(s.Rig, programs)
	if err != nil {
		return err
	}
	if _, err := s.Berth.ApplySpark(ctx, name, sparkjob.Streaming(name, spark.Versions[0], repository+"/count.py", s.numbers)); err != nil {
		return err
	}
	s.say("applied     a streaming job on Spark %s with one executor", spark.Versions[0])
	view, err := s.Berth.WaitExecutors(ctx, name, 1, 1)
	if err != nil {
		return err
	}
	s.executors(view)
	if err := s.counted(ctx); err != nil {
		return err
	}
	if err := s.scale(ctx, 1, 3); err != nil {
		return err
	}
	pid, err := berth.KillSparkDriver(s.Rig.Dir(), view.Status.Driver.Name)
	if err != nil {
		return err
	}
	s.say("kill -9     the driver (pid %d) on %s", pid, view.Status.Driver.Hostname)
	if view, err = s.Berth.WaitExecutors(ctx, name, 2, 3); err != nil {
		return err
	}
	s.say("back        attempt %d in place on %s, on its checkpoint volume", view.Status.Attempt, view.Status.Driver.Hostname)
	s.executors(view)
	if err := s.counted(ctx); err != nil {
		return err
	}
	return s.scale(ctx, 2, 1)
}

func (s *show) scale(ctx context.Context, attempt int64, n int) error {
	if _, err := s.Berth.ScaleSpark(ctx, name, v1.SparkScaling{Count: &n}, "demo"); err != nil {
		return err
	}
	s.say("scaled      to %d while it streams", n)
	view, err := s.Berth.WaitExecutors(ctx, name, attempt, n)
	if err != nil {
		return err
	}
	s.executors(view)
	return s.counted(ctx)
}

func (s *show) executors(view v1.SparkView) {
	for _, x := range view.Status.List {
		s.say("            %-16s %-10s %s", x.Name, x.State, x.Hostname)
	}
}

// counted waits for what was written by now.
func (s *show) counted(ctx context.Context) error {
	if err := s.numbers.WaitSeen(ctx); err != nil {
		return err
	}
	seen, err := s.numbers.Seen()
	if err != nil {
		return err
	}
	s.say("counted     %d numbers", seen)
	return nil
}

// finish ends the input and the job, and looks at every number.
func (s *show) finish(ctx context.Context, stop func() error) error {
	if err := stop(); err != nil {
		return err
	}
	if err := s.numbers.WaitSeen(ctx); err != nil {
		return err
	}
	if _, err := s.Berth.KillSpark(ctx, name, "end of the demo"); err != nil {
		return err
	}
	view, err := s.Berth.WaitSpark(ctx, name, "over", func(st v1.SparkStatus) bool { return st.EndedAt != nil })
	if err != nil {
		return err
	}
	if err := s.numbers.Check(); err != nil {
		return err
	}
	s.say("%-11s each of %d numbers was counted exactly once", view.Status.Phase, s.numbers.Written())
	return nil
}
