package spark

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/host"
	"github.com/berthdata/berth/executor/process"
	"github.com/berthdata/berth/executor/workload"
)

// causes are what a driver's or an executor's last words mean.
var causes = []process.Sign{
	{Pattern: regexp.MustCompile(`java\.lang\.OutOfMemoryError`), Hint: "the JVM ran out of memory: give it more"},
	{Pattern: regexp.MustCompile(`There is insufficient memory for the Java Runtime|Cannot allocate memory`), Hint: "the machine or container has too little memory for the JVM"},
	{Pattern: regexp.MustCompile(`No space left on device|Disk quota exceeded`), Hint: "the disk is full"},
	{Pattern: regexp.MustCompile(`BERTH_SPARK_|berth: `), Hint: "Berth's backend refuses to start"},
	{Pattern: regexp.MustCompile(`ClassNotFoundException|NoClassDefFoundError|Failed to load class`), Hint: "a class is missing: see mainClass, appResource and jars"},
	{Pattern: regexp.MustCompile(`FileNotFoundException|No such file or directory|does not exist`), Hint: "a file is missing"},
	{Pattern: regexp.MustCompile(`UnknownHostException|Failed to connect to|Connection refused`), Hint: "a host could not be reached"},
	{Pattern: regexp.MustCompile(`Unrecognized VM option|Unrecognized option:|Could not create the Java Virtual Machine`), Hint: "the JVM refuses one of its options"},
	{Pattern: regexp.MustCompile(`UnsupportedClassVersionError|InaccessibleObjectException`), Hint: "this Java does not suit"},
	{Pattern: regexp.MustCompile(`AccessDeniedException|Permission denied|AccessControlException`), Hint: "the process's user may not use a file"},
	{Pattern: regexp.MustCompile(`^Exception in thread "main"|^(\w+\.)*\w+(Error|Exception): |^Error: `), Hint: "it reported an error"},
}

// Process runs one driver or executor once.
type Process struct {
	launch executor.Launch
	spark  *executor.Spark
	env    workload.Env
	java   string // pattern of folders to look for Java in
	once   *process.Once
}

// New makes a Process for a launch document of kind "spark-driver" or
// "spark-executor".
func New(l executor.Launch, env workload.Env) workload.Runner {
	return newProcess(l, env, host.JavaDirs)
}

func newProcess(l executor.Launch, env workload.Env, java string) *Process {
	return &Process{launch: l, spark: l.Spark, env: env, java: java, once: process.NewOnce()}
}

var _ workload.New = New

// what names the process for people.
func (p *Process) what() string {
	if p.spark.Executor != nil {
		return fmt.Sprintf("executor %d of %s", p.spark.Executor.ID, p.spark.Application)
	}
	return fmt.Sprintf("driver of %s, attempt %d,", p.spark.Application, p.spark.AttemptID)
}

// Stop implements workload.Runner.
func (p *Process) Stop(grace time.Duration) { p.once.Stop(grace) }

// Run implements workload.Runner. The process counts as healthy from its start:
// whether a driver registered, and an executor with it, is between Spark and the
// scheduler.
func (p *Process) Run(ctx context.Context, emit func(workload.Status)) workload.Exit {
	prepared, err := p.prepare(ctx)
	defer prepared.close()
	if err != nil {
		return workload.NotStarted(p.what(), err)
	}
	name := "driver.log"
	if p.spark.Executor != nil {
		name = "executor.log"
	}
	log := process.Log(p.env.Sandbox, name)
	defer log.Close()
	prepared.command.Log = log
	proc, err := p.once.Start(ctx, prepared.command)
	if err != nil {
		return workload.NotStarted(p.what(), err)
	}
	// What the process inherited is its own now.
	prepared.forget()
	p.env.Log.Info("started", zap.Int("pid", proc.Pid()))
	emit(workload.Status{
		Healthy: true, Message: fmt.Sprintf("process %d started", proc.Pid()),
		Report: executor.Report{Phase: executor.PhaseRunning},
	})
	select {
	case <-proc.Done():
	case <-p.once.Stopped():
		emit(workload.Status{Message: "stopping", Report: executor.Report{Phase: executor.PhaseStopping}})
		<-proc.Done()
	}
	return p.ended(proc)
}

func (p *Process) ended(proc *process.Process) workload.Exit {
	exit, lines := proc.Exit(), proc.Tail().Lines()
	r := executor.Report{Phase: executor.PhaseExited, ExitCode: exit.Code, Signal: exit.Signal}
	finished := exit.Code == 0 && exit.Signal == ""
	if finished || p.once.Asked() {
		lines = nil
	} else {
		r.Cause = process.LikelyCause(causes, lines, exit)
	}
	return workload.Exit{Finished: finished, Report: r, Message: process.Epitaph(p.what(), exit, r.Cause, lines)}
}

// prepared is what prepare found and made.
type prepared struct {
	command process.Command
	volume  *host.Volume
	secrets []*os.File
}

// forget closes the files in memory of which the process has its own handles.
func (p *prepared) forget() {
	for _, f := range p.secrets {
		_ = f.Close()
	}
	p.secrets = nil
}

func (p *prepared) close() {
	p.forget()
	if p.volume != nil {
		p.volume.Release()
	}
}

func (p *Process) prepare(ctx context.Context) (out prepared, err error) {
	who, err := host.ResolveUser(p.launch.User)
	if err != nil {
		return out, err
	}
	l := layout{sandbox: p.env.Sandbox, tmp: filepath.Join(p.env.Sandbox, "tmp"), local: filepath.Join(p.env.Sandbox, "local")}
	if l.home, l.java, err = inspect(p.spark, p.env.Sandbox, p.java); err != nil {
		return out, err
	}
	if err := host.LetIn(l.sandbox, who); err != nil {
		return out, err
	}
	work := filepath.Join(l.sandbox, "work")
	for _, dir := range []string{l.tmp, l.local, work} {
		if err := host.OwnDir(dir, who); err != nil {
			return out, err
		}
	}
	var run program
	if p.spark.Driver == nil {
		run = executorProgram(p.spark, l)
	} else if run, err = p.prepareDriver(ctx, &out, &l, who); err != nil {
		return out, err
	}
	run.env["MESOS_TASK_ID"] = p.launch.TaskID
	if run.env["PATH"] == "" {
		run.env["PATH"] = host.Path()
	}
	host.RaiseLimits()
	out.command.Path, out.command.Args, out.command.Dir = run.path, run.args, work
	out.command.Credential = who.Credential
	for _, name := range slices.Sorted(maps.Keys(run.env)) {
		out.command.Env = append(out.command.Env, name+"="+run.env[name])
	}
	return out, nil
}

// prepareDriver claims the driver's volume and lays its files in memory. A second
// driver of the application does not get the volume while one lives.
func (p *Process) prepareDriver(ctx context.Context, out *prepared, l *layout, who host.Identity) (program, error) {
	d := p.spark.Driver
	if d.CheckpointPath != "" {
		// The link in the sandbox is another one in each attempt; the place
		// itself stays, and stays valid in what a checkpoint remembers.
		dir, err := filepath.EvalSymlinks(filepath.Join(l.sandbox, d.CheckpointPath))
		if err != nil {
			return program{}, fmt.Errorf("checkpoint volume: %w", err)
		}
		mark := host.Marker{Kind: executor.KindSparkDriver, Cluster: p.spark.Application, Node: p.spark.Application, ClusterUUID: p.spark.AppID}
		if out.volume, err = host.OpenVolume(ctx, dir, mark); err != nil {
			return program{}, err
		}
		out.command.Files = append(out.command.Files, out.volume.Lock())
		if err := out.volume.Remember(p.spark.AppID); err != nil {
			return program{}, err
		}
		if err := host.LetIn(dir, who); err != nil {
			return program{}, err
		}
		l.checkpoint = filepath.Join(dir, host.DataDir)
		if err := host.OwnData(l.checkpoint, who); err != nil {
			return program{}, err
		}
	}
	l.token = inherited(len(out.command.Files))
	if err := out.secret("token", d.Token, who); err != nil {
		return program{}, err
	}
	l.properties = inherited(len(out.command.Files))
	if err := out.secret("properties", driverProperties(p.spark, *l), who); err != nil {
		return program{}, err
	}
	return driverProgram(p.spark, *l), nil
}

func (p *prepared) secret(name, content string, who host.Identity) error {
	f, err := memoryFile(name, content, who)
	if err != nil {
		return err
	}
	p.secrets = append(p.secrets, f)
	p.command.Files = append(p.command.Files, f)
	return nil
}
