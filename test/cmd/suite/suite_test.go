package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const output = `?   	example.com/a/doc	[no test files]
ok  	example.com/a	1.500s
ok  	example.com/b	(cached)
--- FAIL: TestOne (0.00s)
    one_test.go:7: 
        	Error:      	not equal
    --- FAIL: TestOne/inner (0.00s)
FAIL
FAIL	example.com/c	12.250s
# example.com/d
d/d.go:3:1: syntax error
FAIL	example.com/d [build failed]
panic: test timed out after 1s
FAIL	example.com/e	1.001s
FAIL
`

func TestSummary(t *testing.T) {
	var s summary
	require.NoError(t, s.read(strings.NewReader(output)))
	var out strings.Builder
	s.print(&out, 83*time.Second, false)
	assert.Equal(t, `
==== summary of the tests ====
slow    example.com/c                                                12.3s
slow    example.com/a                                                1.5s
slow    example.com/e                                                1s
FAILED  example.com/c 
          TestOne
          TestOne/inner
FAILED  example.com/d build failed
FAILED  example.com/e 
          panic: test timed out after 1s
FAILED: 2 packages ok, 3 failed, 1 without tests, in 1m23s
`, out.String())
}

func TestManyFailedTestsAreCut(t *testing.T) {
	var s summary
	require.NoError(t, s.read(strings.NewReader(strings.Repeat("--- FAIL: TestX (0.00s)\n", 25)+"FAIL\texample.com/c\t1s\n"+strings.Repeat("x", 3*maxLine)+"\nok  \texample.com/d\t1s")))
	var out strings.Builder
	s.print(&out, time.Second, false)
	assert.Contains(t, out.String(), "and 15 more")
	assert.Contains(t, out.String(), "FAILED: 1 packages ok, 1 failed")
}

// The real "go test", on a module of two packages.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a module")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/m\n\ngo 1.26\n", "good/x_test.go": "package good\n\nimport \"testing\"\n\nfunc TestGood(*testing.T) {}\n",
		"bad/x_test.go": "package bad\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Fatal(\"no\") }\n",
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	t.Chdir(dir)
	var out strings.Builder
	code, s, err := run([]string{"./..."}, &out)
	require.NoError(t, err)
	assert.Equal(t, 1, code, out.String())
	assert.Equal(t, 1, s.ok)
	require.Len(t, s.failed, 1)
	assert.Equal(t, []string{"TestBad"}, s.failed[0].tests)
	assert.Contains(t, out.String(), "--- FAIL: TestBad")

	code, s, err = run([]string{"./good"}, &out)
	require.NoError(t, err)
	assert.Zero(t, code)
	assert.Equal(t, 1, s.ok)

	code, _, err = run([]string{"./nowhere"}, &out)
	require.NoError(t, err)
	assert.NotZero(t, code)
}
