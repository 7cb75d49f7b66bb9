package rig

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Java is a Java runtime; with a compiler it is a JDK.
type Java struct {
	Home     string
	Major    int
	Compiler bool
}

// ErrNoJava says that no fitting Java is installed.
var ErrNoJava = errors.New("no fitting Java found")

// FindJava finds the oldest Java that is at least major version min, with a
// compiler when that is asked for. It looks at JAVA_HOME, the java on PATH,
// /usr/lib/jvm and /opt.
func FindJava(min int, compiler bool) (Java, error) {
	var best Java
	for _, home := range javaHomes() {
		j, err := readJava(home)
		if err != nil || j.Major < min || compiler && !j.Compiler {
			continue
		}
		if best.Home == "" || j.Major < best.Major {
			best = j
		}
	}
	if best.Home == "" {
		what := "a Java runtime"
		if compiler {
			what = "a JDK"
		}
		return Java{}, fmt.Errorf("find %s of version %d or newer in JAVA_HOME, PATH, /usr/lib/jvm and /opt: %w", what, min, ErrNoJava)
	}
	return best, nil
}

// Tool is the path of one of the JDK's programs, such as java or javac.
func (j Java) Tool(name string) string { return filepath.Join(j.Home, "bin", name) }

func javaHomes() []string {
	var homes []string
	if h := os.Getenv("JAVA_HOME"); h != "" {
		homes = append(homes, h)
	}
	if p, err := exec.LookPath("java"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			homes = append(homes, filepath.Dir(filepath.Dir(p)))
		}
	}
	for _, glob := range []string{"/usr/lib/jvm/*", "/opt/*"} {
		found, err := filepath.Glob(glob)
		if err == nil { // the patterns are constants and well formed
			homes = append(homes, found...)
		}
	}
	return homes
}

// readJava reads a home's release file, which every Java since 7 has: asking
// the program itself takes a JVM start each.
func readJava(home string) (Java, error) {
	f, err := os.Open(filepath.Join(home, "release"))
	if err != nil {
		return Java{}, err
	}
	defer f.Close()
	j := Java{Home: home}
	s := bufio.NewScanner(f)
	for s.Scan() {
		v, ok := strings.CutPrefix(s.Text(), "JAVA_VERSION=")
		if !ok {
			continue
		}
		v = strings.TrimPrefix(strings.Trim(v, `"`), "1.") // 1.8.0 is 8
		digits := strings.FieldsFunc(v, func(r rune) bool { return r < '0' || r > '9' })
		if len(digits) > 0 {
			if j.Major, err = strconv.Atoi(digits[0]); err != nil {
				return Java{}, fmt.Errorf("%s: version %q: %w", home, v, err)
			}
		}
	}
	if err := s.Err(); err != nil {
		return Java{}, err
	}
	if !executable(j.Tool("java")) {
		return Java{}, fmt.Errorf("%s has no java", home)
	}
	j.Compiler = executable(j.Tool("javac")) && executable(j.Tool("jar"))
	return j, nil
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}
