package render

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/executor"
)

// Bounds of the derived heap, in MiB.
const (
	minHeap = 128
	// Up to 31 GiB the JVM addresses objects with compressed pointers on
	// every platform; just above, a larger heap holds less.
	maxHeap = 31 << 10
	gib     = 1 << 10
)

// Heap returns the JVM heap of a node in MiB: what the spec says, else half of
// its memory (40 % below 1 GiB, where the JVM itself takes its part), and 60 %
// for a node that is only a master, which needs no file cache.
func Heap(e *executor.Elasticsearch) int64 {
	if e.HeapMiB > 0 {
		return e.HeapMiB
	}
	percent := int64(50)
	switch {
	case masterOnly(e.Roles):
		percent = 60
	case e.MemoryMiB < gib:
		percent = 40
	}
	return min(max(e.MemoryMiB*percent/100, minHeap), maxHeap)
}

func masterOnly(roles []string) bool {
	if !slices.Contains(roles, "master") {
		return false
	}
	return !slices.ContainsFunc(roles, func(r string) bool {
		return r != "master" && r != "voting_only" && r != "remote_cluster_client"
	})
}

// jvm is the JVM's options, apart by what overrules what.
type jvm struct {
	base      []string // the version's own needs
	collector []string
	derived   []string // from the node's resources and sandbox
	user      []string
}

func (j jvm) all() []string { return slices.Concat(j.base, j.collector, j.derived, j.user) }

// gc is what chooses the collector. The script of 2.x adds one of its own when
// it is told none.
func (j jvm) gc() []string {
	if len(j.collector) > 0 {
		return j.collector
	}
	return slices.DeleteFunc(slices.Clone(j.user), func(o string) bool { return !collectorOption.MatchString(o) })
}

var collectorOption = regexp.MustCompile(`^-XX:\+Use[A-Za-z0-9]*GC$`)

func jvmOptions(in Input, v Version) (jvm, error) {
	e := in.Node
	if err := CheckJavaOptions(e.JavaOptions); err != nil {
		return jvm{}, err
	}
	zone := e.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	if !plain(zone) {
		return jvm{}, fmt.Errorf("timeZone %q: not the name of a time zone", zone)
	}
	heap := Heap(e)
	if heap >= e.MemoryMiB {
		return jvm{}, fmt.Errorf("memory %d MiB: does not hold a heap of %d MiB; ask for more", e.MemoryMiB, heap)
	}
	j := jvm{user: e.JavaOptions, derived: []string{
		"-Xms" + megabytes(heap),
		"-Xmx" + megabytes(heap),
		// In a container the JVM may see the machine's cores instead of ours.
		"-XX:ParallelGCThreads=" + strconv.Itoa(in.processors()),
		"-XX:ConcGCThreads=" + strconv.Itoa(max(1, in.processors()/2)),
		"-Djava.io.tmpdir=" + in.Paths.Tmp,
		"-Dfile.encoding=UTF-8",
		"-Duser.timezone=" + zone,
		"-XX:+HeapDumpOnOutOfMemoryError",
		// One file of one name: the JVM does not write it twice, so a node that
		// runs out of memory again and again fills no disk.
		"-XX:HeapDumpPath=" + in.Paths.Logs + "/heap.hprof",
		"-XX:ErrorFile=" + in.Paths.Logs + "/hs_err_pid%p.log",
	}}
	java := in.Distribution.JavaMajor
	if java >= 9 {
		j.derived = append(j.derived, "-XX:+ExitOnOutOfMemoryError",
			"-Xlog:gc*,gc+age=trace,safepoint:file="+in.Paths.Logs+"/gc.log:utctime,level,pid,tags:filecount=8,filesize=8m")
	} else {
		j.derived = append(j.derived, "-Xloggc:"+in.Paths.Logs+"/gc.log", "-XX:+PrintGCDetails", "-XX:+PrintGCDateStamps",
			"-XX:+UseGCLogFileRotation", "-XX:NumberOfGCLogFiles=8", "-XX:GCLogFileSize=8m")
	}
	switch {
	case v.Major >= 7:
		j.base = distributed(in.Distribution.JVMOptions, java)
	case v.Major >= 5:
		// The files of these lines are for Java 8 to 14 and carry options that
		// later ones refuse, so they are replaced by their still valid part.
		j.base = []string{
			"-Xss1m", "-Djava.awt.headless=true", "-Djna.nosys=true", "-XX:-OmitStackTraceInFastThrow",
			"-Dio.netty.noUnsafe=true", "-Dio.netty.noKeySetOptimization=true", "-Dio.netty.recycler.maxCapacityPerThread=0",
			"-Dlog4j.shutdownHookEnabled=false", "-Dlog4j2.disable.jmx=true", "-Dlog4j.skipJansi=true", "-XX:+AlwaysPreTouch",
		}
		if v.Major == 6 {
			j.base = append(j.base, "-Des.networkaddress.cache.ttl=60", "-Des.networkaddress.cache.negative.ttl=10")
		}
		if java >= 9 {
			j.base = append(j.base, "-Djava.locale.providers=COMPAT")
		}
	}
	if v.Major >= 5 && v.Major <= 7 {
		// CVE-2021-44228 in the Log4j that these lines ship.
		j.base = append(j.base, "-Dlog4j2.formatMsgNoLookups=true")
	}
	if v.Major <= 7 && java >= 12 {
		// From Java 18 the security manager, which these lines install, must be
		// allowed; the word is known from 12 on.
		j.base = append(j.base, "-Djava.security.manager=allow")
	}
	// Two collectors are an error to the JVM: the user's choice replaces ours.
	isCollector := func(o string) bool { return collectorOption.MatchString(o) }
	if slices.ContainsFunc(j.user, isCollector) {
		j.base = slices.DeleteFunc(j.base, func(o string) bool { return isCollector(unranged(o)) })
	} else if !slices.ContainsFunc(j.base, func(o string) bool { return isCollector(unranged(o)) }) {
		j.collector = []string{"-XX:+UseG1GC"}
		if java < 9 {
			j.collector = []string{"-XX:+UseConcMarkSweepGC", "-XX:CMSInitiatingOccupancyFraction=75", "-XX:+UseCMSInitiatingOccupancyOnly"}
		}
	}
	return j, nil
}

// javaRange is the "8-13:" before an option of jvm.options.
var javaRange = regexp.MustCompile(`^[0-9]+(-[0-9]*)?:`)

func unranged(o string) string { return javaRange.ReplaceAllString(o, "") }

// ours are the options of a distribution's jvm.options that Berth derives, and
// those that write below the distribution's folder, which the node may not.
var ours = regexp.MustCompile(`^(-Xm[sx]|-Xlog|-Djava\.io\.tmpdir|-Dfile\.encoding|-Duser\.timezone` +
	`|-XX:(HeapDumpPath|ErrorFile|ParallelGCThreads|ConcGCThreads|[+]HeapDumpOnOutOfMemoryError|[+]ExitOnOutOfMemoryError` +
	`|[+]Print|[+]UseGCLogFileRotation|NumberOfGCLogFiles|GCLogFileSize))`)

// cms are options that Java 14 removed; ranges came into the files with 7.x, so
// the earliest files name them without one.
var cms = regexp.MustCompile(`^-XX:(\+UseConcMarkSweepGC|CMSInitiating|\+UseCMSInitiating|\+UseParNewGC)`)

// distributed keeps of a distribution's jvm.options what is the version's own.
func distributed(content string, java int) []string {
	var kept []string
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		bare := unranged(line)
		if !strings.HasPrefix(bare, "-") || ours.MatchString(bare) || line == bare && java >= 14 && cms.MatchString(bare) {
			continue
		}
		kept = append(kept, line)
	}
	return kept
}
