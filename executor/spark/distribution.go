package spark

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/host"
)

// javaChoices are ranges of Java feature versions by Spark's major version, in
// order of preference (Spark's documentation, "Downloading": 3.x runs on Java 8,
// 11 and 17, 4.x from 17 on).
var javaChoices = map[int][][2]int{
	3: {{17, 17}, {11, 11}, {8, 8}},
	4: {{17, 0}},
}

// inspect finds the distribution and a Java for it. It starts no process.
func inspect(s *executor.Spark, sandbox, javaDirs string) (home, java string, err error) {
	major, err := majorVersion(s.Version)
	if err != nil {
		return "", "", err
	}
	if home, err = findHome(s, sandbox); err != nil {
		return "", "", err
	}
	if s.JavaHome != "" {
		if _, err := host.JavaMajor(s.JavaHome); err != nil {
			return "", "", fmt.Errorf("javaHome %s: %w", s.JavaHome, err)
		}
		return home, s.JavaHome, nil
	}
	var seen string
	for _, want := range javaChoices[major] {
		var found string
		if found, _, seen = host.PickJava(javaDirs, want[0], want[1]); found != "" {
			return home, found, nil
		}
	}
	return "", "", fmt.Errorf("no Java for Spark %s: 3.x needs Java 17, 11 or 8, 4.x Java 17 or newer; in %s there is %s; install one, or name one in the scheduler's Spark catalogue", s.Version, javaDirs, seen)
}

func majorVersion(version string) (int, error) {
	first, _, _ := strings.Cut(version, ".")
	major, err := strconv.Atoi(first)
	if err != nil || javaChoices[major] == nil {
		return 0, fmt.Errorf("version %q of Spark: 3.x and 4.x are supported", version)
	}
	return major, nil
}

// findHome returns the distribution's folder, proven to be of the version: the
// driver and its executors must not differ. An archive that was fetched unpacks
// to a folder of its own naming.
func findHome(s *executor.Spark, sandbox string) (string, error) {
	homes := []string{s.Home}
	if s.Home == "" {
		homes, _ = filepath.Glob(filepath.Join(sandbox, "spark-"+s.Version+"*"))
		slices.Sort(homes)
	}
	for _, home := range homes {
		if info, err := os.Stat(home); err != nil || !info.IsDir() {
			continue
		}
		cores, _ := filepath.Glob(filepath.Join(home, "jars", "spark-core_*.jar"))
		if len(cores) == 0 {
			return "", fmt.Errorf("%s is no Spark: it has no jars/spark-core_*.jar", home)
		}
		if name := filepath.Base(cores[0]); !strings.HasSuffix(name, "-"+s.Version+".jar") {
			return "", fmt.Errorf("%s holds %s, not version %s", home, name, s.Version)
		}
		return home, nil
	}
	if s.Home != "" {
		return "", fmt.Errorf("no Spark at %s on this agent; install it there, or give the scheduler a URI to fetch it from", s.Home)
	}
	return "", fmt.Errorf("the fetched archive did not unpack to a folder spark-%s…", s.Version)
}
