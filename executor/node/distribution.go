package node

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/host"
	"github.com/berthdata/berth/executor/render"
)

// inspect finds out what Render must know about the distribution and the Java
// that the node runs with. It starts no process unless it must: a second spent
// here is a second later that the cluster is green.
func inspect(e *executor.Elasticsearch, sandbox string) (render.Distribution, error) {
	v, err := render.ParseVersion(e.Version)
	if err != nil {
		return render.Distribution{}, err
	}
	d := render.Distribution{Home: e.Home}
	if d.Home == "" {
		d.Home = filepath.Join(sandbox, "elasticsearch-"+e.Version)
	}
	script := filepath.Join(d.Home, "bin", "elasticsearch")
	switch info, err := os.Stat(script); {
	case err != nil && e.Home != "":
		return d, fmt.Errorf("no Elasticsearch at %s on this agent: %w; install it there, or give the scheduler a URI to fetch it from", d.Home, err)
	case err != nil:
		return d, fmt.Errorf("the fetched archive did not unpack to elasticsearch-%s: %w", e.Version, err)
	case info.Mode()&0o111 == 0:
		return d, fmt.Errorf("%s is not executable: the archive was unpacked without its modes", script)
	}
	// The version decides how to configure it, and an older node must never
	// open newer data: so it is checked, not believed.
	if jars, _ := filepath.Glob(filepath.Join(d.Home, "lib", "elasticsearch-[0-9]*.jar")); len(jars) > 0 {
		if want := "elasticsearch-" + e.Version + ".jar"; !slices.ContainsFunc(jars, func(j string) bool { return filepath.Base(j) == want }) {
			return d, fmt.Errorf("%s holds %s, not version %s", d.Home, filepath.Base(jars[0]), e.Version)
		}
	}
	exists := func(parts ...string) bool {
		_, err := os.Stat(filepath.Join(append([]string{d.Home}, parts...)...))
		return err == nil
	}
	// Three layouts: a plugin up to 5.x, modules in a folder in early 6.x, modules.
	plugin := exists("plugins", "x-pack")
	d.Security = plugin || exists("modules", "x-pack-security") || exists("modules", "x-pack", "x-pack-security")
	d.MachineLearning = plugin || exists("modules", "x-pack-ml") || exists("modules", "x-pack", "x-pack-ml")
	if v.Major >= 7 {
		if d.JVMOptions, err = host.ReadSmall(filepath.Join(d.Home, "config", "jvm.options")); err != nil {
			return d, err
		}
	}
	if v.Major >= 5 {
		log4j, err := host.ReadSmall(filepath.Join(d.Home, "config", "log4j2.properties"))
		if err != nil {
			return d, err
		}
		d.HeaderWarnings = strings.Contains(log4j, "HeaderWarningAppender")
	}
	return d, findJava(&d, e, v)
}

func findJava(d *render.Distribution, e *executor.Elasticsearch, v render.Version) error {
	if e.JavaHome != "" {
		major, err := host.JavaMajor(e.JavaHome)
		if err != nil {
			return fmt.Errorf("javaHome %s: %w", e.JavaHome, err)
		}
		d.JavaHome, d.JavaMajor = e.JavaHome, major
		return nil
	}
	bundled := filepath.Join(d.Home, "jdk")
	if major, err := host.JavaMajor(bundled); err == nil {
		d.JavaHome, d.JavaMajor, d.BundledJava = bundled, major, true
		return nil
	}
	oldest, newest := v.JavaRange()
	home, major, seen := host.PickJava(host.JavaDirs, oldest, newest)
	if home == "" {
		need := fmt.Sprintf("Java %d or newer", oldest)
		if newest > 0 {
			need = fmt.Sprintf("Java %d to %d", oldest, newest)
		}
		return fmt.Errorf("no Java for Elasticsearch %s: it needs %s; there is none in %s, and in %s there is %s; install one, or name one with the scheduler's Java home",
			e.Version, need, bundled, host.JavaDirs, seen)
	}
	d.JavaHome, d.JavaMajor = home, major
	return nil
}

// hostFacts reads what the node must know of its machine.
func hostFacts() render.Host {
	h := render.Host{Processors: runtime.NumCPU()}
	if s, err := host.ReadSmall("/proc/sys/vm/max_map_count"); err == nil {
		h.MaxMapCount, _ = strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	}
	return h
}
