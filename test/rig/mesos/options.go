package mesos

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Options says what cluster Start makes. The zero value is one master without
// agents.
type Options struct {
	Agents []AgentOptions
	// Masters is the number of masters; 0 is 1. More than one, or election at
	// all, needs ZooKeeper.
	Masters int
	// ZooKeeper holds host:port of every server; masters then elect a leader
	// and agents find it there.
	ZooKeeper []string

	// Credentials, when given, are who may subscribe: frameworks must then
	// authenticate (HTTP Basic).
	Credentials []Credential
	// ACLs is Mesos' JSON of access rules; not together with ZooKeeper.
	ACLs string

	// AllocationInterval is how often the master makes offers; 0 is 200 ms.
	AllocationInterval time.Duration
	// PingTimeout × PingCount is how long an agent may be silent before its
	// tasks are unreachable; 0 is 1 s and 3. Mesos' own defaults, 15 s and 5,
	// also make agents notice a restarted master only after ~50 s.
	PingTimeout time.Duration
	PingCount   int

	// MasterFlags and AgentFlags are further flags, --name=value; the last of
	// a name counts.
	MasterFlags []string
	AgentFlags  []string
}

// Credential is a principal and its secret.
type Credential struct {
	Principal string `json:"principal"`
	Secret    string `json:"secret"`
}

// AgentOptions says what an agent is and has.
type AgentOptions struct {
	// Name names the agent in the rig; "" is agent1, agent2, …
	Name string
	// Hostname is what offers show; "" is NAME.test.
	Hostname string
	// Attributes in Mesos' form, such as "rack:r1;zone:z0".
	Attributes string
	// Resources in Mesos' form; "" is "cpus:2;mem:4096;disk:20480". Without
	// ports, the agent gets 62 free ports of its own on this machine.
	Resources string
	// Flags are further flags of this agent.
	Flags []string
}

func (o *Options) complete() error {
	if o.Masters == 0 {
		o.Masters = 1
	}
	if o.Masters > 1 && len(o.ZooKeeper) == 0 {
		return fmt.Errorf("mesos: %d masters need ZooKeeper to elect a leader", o.Masters)
	}
	if o.ACLs != "" && len(o.ZooKeeper) > 0 {
		return errors.New("mesos: ACLs do not work together with ZooKeeper here")
	}
	if o.AllocationInterval == 0 {
		o.AllocationInterval = 200 * time.Millisecond
	}
	if o.PingTimeout == 0 {
		o.PingTimeout = time.Second
	}
	if o.PingCount == 0 {
		o.PingCount = 3
	}
	return nil
}

func (o *AgentOptions) complete(number int) {
	if o.Name == "" {
		o.Name = fmt.Sprintf("agent%d", number)
	}
	if o.Hostname == "" {
		o.Hostname = o.Name + ".test"
	}
	if o.Resources == "" {
		o.Resources = "cpus:2;mem:4096;disk:20480"
	}
}

// withPorts adds ports first to last where the resources name none.
func withPorts(resources string, first, last int) string {
	if strings.HasPrefix(strings.TrimSpace(resources), "[") {
		return resources // JSON says all that there is
	}
	for r := range strings.SplitSeq(resources, ";") {
		if strings.HasPrefix(strings.TrimSpace(r), "ports") {
			return resources
		}
	}
	return fmt.Sprintf("%s;ports:[%d-%d]", strings.TrimSuffix(resources, ";"), first, last)
}

// duration in Mesos' form, which has no compound units.
func duration(d time.Duration) string { return fmt.Sprintf("%dns", d.Nanoseconds()) }
