package spark

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlace(t *testing.T) {
	for name, want := range map[string]string{
		"pyspark-3.5.9/deps/jars/spark-core_2.12-3.5.9.jar": "jars/spark-core_2.12-3.5.9.jar",
		"pyspark-3.5.9/deps/bin/spark-submit":               "bin/spark-submit",
		"pyspark-3.5.9/deps/bin/spark-submit.cmd":           "",
		"pyspark-3.5.9/lib/pyspark.zip":                     "python/lib/pyspark.zip",
		"pyspark-3.5.9/pyspark/sql/types.py":                "python/pyspark/sql/types.py",
		"pyspark-3.5.9/deps/examples/pi.py":                 "examples/src/main/python/pi.py",
		"pyspark-3.5.9/setup.py":                            "",
		"PKG-INFO":                                          "",
	} {
		got, ok := place(name)
		assert.Equal(t, want, got, name)
		assert.Equal(t, want != "", ok, name)
	}
}

func TestUnpack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.tar.gz")
	f, err := os.Create(file)
	require.NoError(t, err)
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for name, typ := range map[string]byte{
		"p-1/deps/bin/spark-submit": tar.TypeReg, "p-1/deps/jars/a.jar": tar.TypeReg, "p-1/deps/jars/link.jar": tar.TypeSymlink,
		"p-1/setup.py": tar.TypeReg,
	} {
		h := &tar.Header{Name: name, Typeflag: typ, Linkname: "/etc/passwd"}
		if typ == tar.TypeReg {
			h.Linkname, h.Size = "", 2
		}
		require.NoError(t, w.WriteHeader(h))
		if typ == tar.TypeReg {
			_, err = w.Write([]byte("hi"))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	dir := t.TempDir()
	require.NoError(t, unpack(t.Context(), file, dir))
	st, err := os.Stat(filepath.Join(dir, "bin", "spark-submit"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), st.Mode().Perm())
	assert.FileExists(t, filepath.Join(dir, "jars", "a.jar"))
	assert.NoFileExists(t, filepath.Join(dir, "jars", "link.jar"))
	assert.NoFileExists(t, filepath.Join(dir, "setup.py"))
}

func TestOnlyKnownVersions(t *testing.T) {
	_, err := Locate(t.TempDir(), "1.0.0")
	assert.ErrorContains(t, err, "known are 3.5.9, 4.3.0")
	_, err = Locate(t.TempDir(), Versions[0])
	assert.ErrorContains(t, err, "spark "+Versions[0])
	for _, v := range Versions {
		assert.NotEmpty(t, sums[v])
	}
}
