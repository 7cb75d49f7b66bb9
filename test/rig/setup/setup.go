// Package setup installs what the rig's systems need and finds what is there.
package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/elasticsearch"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/spark"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// DefaultElasticsearch is the version of the demo and the tests: it runs with
// Java 17 alone.
const DefaultElasticsearch = "8.19.21"

// Want says which systems are needed.
type Want struct {
	Mesos     bool
	ZooKeeper bool
	// Elasticsearch are versions, such as 8.19.21.
	Elasticsearch []string
	// Spark are versions, of spark.Versions.
	Spark []string
	// Maven and a JDK, to build the backend plugin for Spark.
	Maven bool
}

// All is what the demo and the tests of Elasticsearch clusters need.
func All() Want {
	return Want{Mesos: true, ZooKeeper: true, Elasticsearch: []string{DefaultElasticsearch}}
}

// UpgradeFrom is the version from which the tests upgrade to DefaultElasticsearch.
const UpgradeFrom = "7.17.29"

// Upgrade is what the tests of upgrades need.
func Upgrade() Want {
	w := All()
	w.Elasticsearch = []string{UpgradeFrom, DefaultElasticsearch}
	return w
}

// Everything is what the whole test suite needs: also Spark, which is large.
func Everything() Want {
	w := Upgrade()
	w.Spark, w.Maven = spark.Versions, true
	return w
}

// Assets are the systems that were found or installed.
type Assets struct {
	// Cache is the folder that holds downloads and builds.
	Cache string
	Mesos mesos.Install
	// ZooKeeperClasspath starts ZooKeeper; see package zookeeper.
	ZooKeeperClasspath string
	// Elasticsearch maps a version to its home.
	Elasticsearch map[string]elasticsearch.Home
	// Spark maps a version to its home.
	Spark map[string]spark.Home
}

// ErrMissing says that something wanted is not installed. Its message names it
// and what to do.
var ErrMissing = errors.New("not installed")

// Find looks for what is wanted, in well under a second and without changing
// anything. What is missing is an ErrMissing.
func Find(want Want) (Assets, error) {
	cache, err := rig.CacheDir()
	if err != nil {
		return Assets{}, err
	}
	s := &session{cache: cache, want: want, log: io.Discard}
	if missing := s.find(); len(missing) > 0 {
		return Assets{}, fmt.Errorf("%s: %w: run make setup", strings.Join(missing, ", "), ErrMissing)
	}
	return s.assets, nil
}

// Prepare installs what is wanted and missing, and prints one line per thing to
// log. It may run beside itself: installing is done one after the other. As
// root it installs Debian packages; any other user is told which are missing.
func Prepare(ctx context.Context, want Want, log io.Writer) (Assets, error) {
	cache, err := rig.CacheDir()
	if err != nil {
		return Assets{}, err
	}
	s := &session{cache: cache, want: want, log: log}
	if len(s.find()) == 0 {
		s.report()
		return s.assets, nil
	}
	unlock, err := rig.LockCache(ctx, cache, func() { fmt.Fprintln(log, "waiting for another set-up on this machine") })
	if err != nil {
		return Assets{}, err
	}
	defer unlock()
	if err := s.install(ctx); err != nil {
		return Assets{}, err
	}
	if missing := s.find(); len(missing) > 0 {
		return Assets{}, fmt.Errorf("set-up: still missing after installing: %s", strings.Join(missing, ", "))
	}
	s.report()
	return s.assets, nil
}

type session struct {
	cache  string
	want   Want
	log    io.Writer
	assets Assets
}

// find fills the assets and names what is missing.
func (s *session) find() (missing []string) {
	s.assets = Assets{Cache: s.cache, Elasticsearch: map[string]elasticsearch.Home{}, Spark: map[string]spark.Home{}}
	if s.want.Mesos {
		ok := false
		if s.assets.Mesos, ok = mesos.Locate(s.cache); !ok {
			missing = append(missing, "mesos "+mesos.Version)
		}
		missing = append(missing, missingLibraries()...)
	}
	if s.want.ZooKeeper {
		cp, err := zookeeper.FindIn(s.cache)
		if err != nil {
			missing = append(missing, "zookeeper")
		}
		s.assets.ZooKeeperClasspath = cp
		if _, err := rig.FindJava(minJava, false); err != nil {
			missing = append(missing, fmt.Sprintf("java %d", minJava))
		}
	}
	for _, v := range s.want.Elasticsearch {
		home, err := elasticsearch.Locate(s.cache, v)
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		s.assets.Elasticsearch[v] = home
	}
	for _, v := range s.want.Spark {
		home, err := spark.Locate(s.cache, v)
		if err == nil {
			_, err = exec.LookPath("python3") // of drivers and executors
		}
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		s.assets.Spark[v] = home
	}
	if s.want.Maven {
		_, err := exec.LookPath("mvn")
		if err == nil {
			_, err = rig.FindJava(spark.MinJava, true)
		}
		if err != nil {
			missing = append(missing, err.Error())
		}
	}
	return missing
}

func (s *session) report() {
	line := func(what, version, where string) { fmt.Fprintf(s.log, "%-14s %-10s ready  %s\n", what, version, where) }
	if s.want.Mesos {
		line("mesos", mesos.Version, s.assets.Mesos.Dir)
	}
	if s.want.ZooKeeper {
		first, _, _ := strings.Cut(s.assets.ZooKeeperClasspath, ":")
		line("zookeeper", "", first)
	}
	for _, v := range slices.Sorted(slices.Values(s.want.Elasticsearch)) {
		line("elasticsearch", v, s.assets.Elasticsearch[v].Dir)
	}
	for _, v := range slices.Sorted(slices.Values(s.want.Spark)) {
		line("spark", v, s.assets.Spark[v].Dir)
	}
}

func (s *session) install(ctx context.Context) error {
	if err := s.installPackages(ctx); err != nil {
		return err
	}
	if _, ok := mesos.Locate(s.cache); s.want.Mesos && !ok {
		err := s.step("mesos", mesos.Version, func() error {
			_, err := mesos.Build(ctx, s.cache)
			return err
		})
		if err != nil {
			return err
		}
	}
	if _, err := zookeeper.FindIn(s.cache); s.want.ZooKeeper && err != nil {
		if err := s.step("zookeeper", "", func() error { return fetchZooKeeper(ctx, s.cache) }); err != nil {
			return err
		}
	}
	for _, v := range s.want.Elasticsearch {
		if _, err := elasticsearch.Locate(s.cache, v); err == nil {
			continue
		}
		err := s.step("elasticsearch", v, func() error {
			_, err := elasticsearch.Install(ctx, s.cache, v)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, v := range s.want.Spark {
		if _, err := spark.Locate(s.cache, v); err == nil {
			continue
		}
		err := s.step("spark", v, func() error {
			_, err := spark.Install(ctx, s.cache, v)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// step runs one installation and tells that it does and how long it took.
func (s *session) step(what, version string, run func() error) error {
	began := time.Now()
	fmt.Fprintf(s.log, "%-14s %-10s installing…\n", what, version)
	if err := run(); err != nil {
		return fmt.Errorf("set-up of %s: %w", strings.TrimSpace(what+" "+version), err)
	}
	fmt.Fprintf(s.log, "%-14s %-10s installed in %s\n", what, version, time.Since(began).Round(100*time.Millisecond))
	return nil
}
