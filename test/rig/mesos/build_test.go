package mesos

import (
	"debug/elf"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStubSources(t *testing.T) {
	code, script := stubSources([]elf.Symbol{
		{Name: "SSL_new", Version: "OPENSSL_1.0.0"},
		{Name: "BIO_new", Version: "OPENSSL_1.0.0"},
		{Name: "curl_easy_init", Version: "CURL_OPENSSL_3"},
		{Name: "PyExc_TypeError"}, {Name: "Py_Initialize"}, {Name: "_Py_NoneStruct"},
		{Name: "apr_initialize"}, {Name: "svn_txdelta"},
		{Name: "malloc", Version: "GLIBC_2.2.5"}, {Name: "environ"},
		{Name: "SSL_defined", Version: "OPENSSL_1.0.0", Section: 7},
	})
	assert.Equal(t, `#include "stub.h"
DATA(PyExc_TypeError)
ABORT(Py_Initialize)
DATA(_Py_NoneStruct)
ZERO(apr_initialize)
ABORT(svn_txdelta)
CURL(curl_easy_init)
ABORT(BIO_new)
ABORT(SSL_new)
`, string(code))
	assert.Equal(t, "CURL_OPENSSL_3 { global: curl_easy_init; };\nOPENSSL_1.0.0 { global: BIO_new; SSL_new; };\n", string(script))
}

func TestWithPorts(t *testing.T) {
	assert.Equal(t, "cpus:1;ports:[5-9]", withPorts("cpus:1", 5, 9))
	assert.Equal(t, "cpus:1;ports:[5-9]", withPorts("cpus:1;", 5, 9))
	assert.Equal(t, "cpus:1; ports:[1-2]", withPorts("cpus:1; ports:[1-2]", 5, 9))
	assert.Equal(t, "ports(role):[1-2]", withPorts("ports(role):[1-2]", 5, 9))
}

func TestOptionsAreChecked(t *testing.T) {
	assert.ErrorContains(t, (&Options{Masters: 3}).complete(), "need ZooKeeper")
	assert.ErrorContains(t, (&Options{ACLs: "{}", ZooKeeper: []string{"h:1"}}).complete(), "ACLs")
	var o Options
	require.NoError(t, o.complete())
	assert.Equal(t, Options{Masters: 1, AllocationInterval: 200 * time.Millisecond, PingTimeout: time.Second, PingCount: 3}, o)
	a := AgentOptions{}
	a.complete(7)
	assert.Equal(t, AgentOptions{Name: "agent7", Hostname: "agent7.test", Resources: "cpus:2;mem:4096;disk:20480"}, a)
}
