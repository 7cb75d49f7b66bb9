package host

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPickJava(t *testing.T) {
	dir := t.TempDir()
	for name, release := range map[string]string{
		"jdk-8": `JAVA_VERSION="1.8.0_402"`, "jdk-17": `JAVA_VERSION="17.0.9"`, "jdk-21": "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"21\"", "jdk-25": `JAVA_VERSION="25.0.1"`,
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, "bin"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "bin", "java"), nil, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "release"), []byte(release), 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "no-java"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(dir, "jdk-17"), filepath.Join(dir, "default-java")))
	for _, tc := range []struct {
		oldest, newest, want int
	}{{17, 23, 17}, {18, 23, 21}, {21, 0, 21}, {22, 23, 0}, {8, 0, 8}, {26, 0, 0}} {
		home, major, seen := PickJava(filepath.Join(dir, "*"), tc.oldest, tc.newest)
		assert.Equal(t, tc.want, major, "%+v", tc)
		if tc.want > 0 {
			assert.Equal(t, "jdk-"+strconv.Itoa(tc.want), filepath.Base(home))
		}
		assert.Contains(t, seen, "jdk-8", "what was found is told")
	}
	_, _, seen := PickJava(filepath.Join(dir, "none", "*"), 17, 0)
	assert.Equal(t, "none", seen)
}

// Without a release file the java is asked.
func TestJavaMajorAsks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	java := filepath.Join(dir, "bin", "java")
	require.NoError(t, os.WriteFile(java, []byte("#!/bin/sh\necho 'openjdk version \"19.0.1\" 2022' >&2\n"), 0o755))
	major, err := JavaMajor(dir)
	require.NoError(t, err)
	assert.Equal(t, 19, major)
	require.NoError(t, os.Chmod(java, 0o644))
	_, err = JavaMajor(dir)
	assert.ErrorContains(t, err, "not executable")
}
