package mesos

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestParseMasters(t *testing.T) {
	for in, want := range map[string]string{
		"http://a:1":                 "http://a:1",
		"a:1, https://b:2/":          "http://a:1 https://b:2",
		"http://[::1]:5050":          "http://[::1]:5050",
		"zk://h:1/mesos":             "zk://h:1/mesos",
		"zk://h:1,i:2/a/b/":          "zk://h:1,i:2/a/b",
		"zk://u:pa@ss@h:1,i:2/mesos": "zk://h:1,i:2/mesos",
	} {
		m, err := parseMasters(in, false)
		require.NoError(t, err, in)
		var got []string
		for _, u := range m.urls {
			got = append(got, u.String())
		}
		if m.zk != nil {
			got = append(got, m.zk.String())
		}
		assert.Equal(t, want, strings.Join(got, " "), in)
	}
	m, err := parseMasters("a:1", true)
	require.NoError(t, err)
	assert.Equal(t, "https://a:1", m.urls[0].String())
	m, err = parseMasters("zk://u:pa@ss@h:1,i:2/mesos", false)
	require.NoError(t, err)
	assert.Equal(t, "u:pa@ss", m.zk.userinfo)
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", m.zk, m.zk, m.zk), "pa@ss")
}

func TestParseMastersErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "is empty",
		"ftp://a:1":             "scheme must be http, https or zk",
		"http://a":              "is not host:port",
		"a:1,,b:2":              "is not host:port",
		"http://a:1/path":       "give host and port alone",
		"http://u:hidden@a:1":   "credentials",
		"zk://h:1":              "the path is missing",
		"zk://h:1/":             "the path is missing",
		"zk://h/mesos":          "is not host:port",
		"zk://hidden@h:1/mesos": "must be user:password",
		"zk://:hidden@h:1/m":    "must be user:password",
	} {
		_, err := parseMasters(in, false)
		require.ErrorContains(t, err, want, in)
		assert.NotContains(t, err.Error(), "hidden")
	}
}

func TestRedactMasters(t *testing.T) {
	for in, want := range map[string]string{
		"zk://u:pw@h:1,i:2/mesos":    "zk://REDACTED@h:1,i:2/mesos",
		"http://u:pw@h:1,http://i:2": "http://REDACTED@h:1,http://i:2",
		"u:pw@h:1":                   "REDACTED@h:1",
		"zk://h:1/mesos":             "zk://h:1/mesos",
	} {
		assert.Equal(t, want, RedactMasters(in))
	}
}

func TestConfigErrors(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"frame limit":                        func(c *Config) { c.FrameLimit = 1 << 20 },
		"queue limit":                        func(c *Config) { c.QueueLimit = -1 },
		"timeouts":                           func(c *Config) { c.CallTimeout = -1 },
		"encoding":                           func(c *Config) { c.Encoding = "xml" },
		"principal: is empty":                func(c *Config) { c.SecretFile = "f" },
		`principal: "x" differs`:             func(c *Config) { c.Principal = "x" },
		"framework: is missing":              func(c *Config) { c.Framework = nil },
		"masters: is empty":                  func(c *Config) { c.Masters = "" },
		"framework.failover_timeout":         func(c *Config) { c.Framework.FailoverTimeout = nil },
		"framework.id":                       func(c *Config) { c.Framework.ID = &mesosv1.FrameworkID{Value: "x"} },
		"framework.role: must not":           func(c *Config) { c.Framework.Role = ptr("*") },
		"framework.capabilities: MULTI_ROLE": func(c *Config) { c.Framework.Capabilities = c.Framework.Capabilities[:1] },
		`offer_filters: "z" is not one of`:   func(c *Config) { c.Framework.OfferFilters["z"] = mesosv1.OfferFilters{} },
	} {
		cfg := Config{Masters: "m:1", Framework: testFramework(t), TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
		change(&cfg)
		_, err := New(cfg, zap.NewNop())
		assert.ErrorContains(t, err, want)
	}
}

func TestBuildFrameworkInfo(t *testing.T) {
	info, err := BuildFrameworkInfo(FrameworkOptions{User: "es", Name: "berth", Roles: []string{"a", "b/c"}})
	require.NoError(t, err)
	assert.Equal(t, (21 * 24 * time.Hour).Seconds(), info.GetFailoverTimeout(), "Mesos rule 9")
	assert.True(t, info.GetCheckpoint(), "Mesos rule 12")
	assert.Nil(t, info.Role, "Mesos rule 13")
	assert.Nil(t, info.Principal)
	var got []string
	for _, c := range info.Capabilities {
		got = append(got, c.Type.String())
	}
	assert.Equal(t, []string{"PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT"}, got)
	require.Len(t, info.OfferFilters, 2, "Mesos rule 24, for each role")
	for _, e := range []Encoding{Protobuf, JSON} {
		codec, err := codecFor(e)
		require.NoError(t, err)
		raw, err := encode(codec, info)
		require.NoError(t, err)
		var back mesosv1.FrameworkInfo
		require.NoError(t, decode(codec, raw, &back))
		assert.True(t, info.Equal(&back), "%s loses a field", e)
	}
}

func TestFrameworkErrors(t *testing.T) {
	for want, o := range map[string]FrameworkOptions{
		"framework.user":                   {Name: "n", Roles: []string{"r"}},
		"framework.name":                   {User: "u", Roles: []string{"r"}},
		"framework.roles: is empty":        {User: "u", Name: "n"},
		`"r" is named twice`:               {User: "u", Name: "n", Roles: []string{"r", "r"}},
		`"*" cannot hold reservations`:     {User: "u", Name: "n", Roles: []string{"*"}},
		`"" is empty`:                      {User: "u", Name: "n", Roles: []string{""}},
		`"a b" contains a space`:           {User: "u", Name: "n", Roles: []string{"a b"}},
		`"a//b" begins or ends`:            {User: "u", Name: "n", Roles: []string{"a//b"}},
		`"/a" begins or ends`:              {User: "u", Name: "n", Roles: []string{"/a"}},
		`"a/.." has the part ".."`:         {User: "u", Name: "n", Roles: []string{"a/.."}},
		`"a/-b" has a part that begins`:    {User: "u", Name: "n", Roles: []string{"a/-b"}},
		"framework.failover_timeout: must": {User: "u", Name: "n", Roles: []string{"r"}, FailoverTimeout: -time.Second},
	} {
		_, err := BuildFrameworkInfo(o)
		assert.ErrorContains(t, err, want)
	}
}

func TestShortFailoverTimeoutIsWarnedOf(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	cfg := Config{Masters: "m:1", Framework: testFramework(t)}
	_, err := New(cfg, zap.New(core))
	require.NoError(t, err)
	assert.Zero(t, logs.Len())
	cfg.Framework.FailoverTimeout = ptr(3600.0)
	_, err = New(cfg, zap.New(core))
	require.NoError(t, err)
	assert.Equal(t, 1, logs.FilterMessageSnippet("failover timeout is below one week").Len())
}

func TestReadSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{"s": "s", "s\n": "s", "s \r\n": "s ", "two\nlines\n": "two\nlines"} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		got, err := readSecret(file)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for want, content := range map[string][]byte{"is empty": []byte("\n"), "is longer than 4096": bytes.Repeat([]byte("s"), maxSecret+1)} {
		require.NoError(t, os.WriteFile(file, content, 0o600))
		_, err := readSecret(file)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, file)
	}
}
