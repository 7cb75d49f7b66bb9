package workload_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/placement/workload"
)

func TestGenerateDependsOnTheSeedAlone(t *testing.T) {
	a, b := workload.Generate("w", 200, 1000, 1), workload.Generate("w", 200, 1000, 1)
	assert.Equal(t, a, b)
	assert.NotEqual(t, a.Groups, workload.Generate("w", 200, 1000, 2).Groups)
}

func TestStandardWorkloadsHaveTheirSizeAndCanBePlaced(t *testing.T) {
	for name, size := range workload.Standard {
		w, err := workload.Open(name)
		require.NoError(t, err)
		assert.Equal(t, name, w.Name)
		assert.Len(t, w.Hosts, size[0])
		tasks, racks, kinds := 0, map[string]bool{}, map[string]bool{}
		use := map[string][2]float64{} // asked for and there, by resource
		for _, g := range w.Groups {
			tasks += g.Count
			kinds[g.Kind] = true
			for k, v := range map[string]float64{"cpus": g.CPUs, "mem": float64(g.Mem), "disk": float64(g.Disk)} {
				use[k] = [2]float64{use[k][0] + v*float64(g.Count), use[k][1]}
			}
		}
		for _, h := range w.Hosts {
			racks[h.Attributes["rack"]] = true
			for k, v := range map[string]float64{"cpus": h.CPUs, "mem": float64(h.Mem), "disk": float64(h.Disk)} {
				use[k] = [2]float64{use[k][0], use[k][1] + v}
			}
		}
		assert.Equal(t, size[1], tasks, name)
		assert.Len(t, racks, max(4, size[0]/50), name)
		assert.Len(t, kinds, 3, name)
		for k, u := range use {
			assert.Less(t, u[0]/u[1], .6, "%s: use of %s", name, k)
		}
	}
}

func TestOpenReadsTheFileFormat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"name":"x","seed":7,
		"hosts":[{"id":"h0","cpus":8.0,"mem":1024,"disk":5,"ports":[[31000,31999]],"attributes":{"rack":"r1"}}],
		"groups":[{"id":"g","kind":"es","count":3,"cpus":0.5,"mem":1,"disk":2,"ports":1,"attributes":{},"maxPerHost":2,"spread":"rack"},
		          {"id":"k","kind":"es","count":1,"cpus":1,"mem":1,"disk":2,"ports":1,"attributes":{},"maxPerHost":0,"spread":null}]}`), 0o600))
	w, err := workload.Open(file)
	require.NoError(t, err)
	assert.Equal(t, [][2]uint64{{31000, 31999}}, w.Hosts[0].Ports)
	assert.Equal(t, "rack", *w.Groups[0].Spread)
	assert.Nil(t, w.Groups[1].Spread)
	text, err := json.Marshal(w)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	again, err := workload.Open(file)
	require.NoError(t, err)
	assert.Equal(t, w, again)
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	_, err := workload.Open("w-nonsense")
	require.ErrorContains(t, err, `workload "w-nonsense" is neither a file nor a standard name`)
	file := filepath.Join(t.TempDir(), "w.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"name":`), 0o600))
	_, err = workload.Open(file)
	require.ErrorContains(t, err, "workload file "+file)
}
