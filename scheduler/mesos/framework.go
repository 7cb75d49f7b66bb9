package mesos

import (
	"fmt"
	"strings"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
)

// DefaultFailoverTimeout is how long a master keeps tasks of a scheduler that
// is away. Too short a time kills every task (Mesos rule 9); three weeks
// outlast holidays.
const DefaultFailoverTimeout = 3 * 7 * 24 * time.Hour

// minFailoverTimeout is where New begins to warn (Mesos rule 9).
const minFailoverTimeout = 7 * 24 * time.Hour

// FrameworkOptions are what an operator may choose about the framework.
type FrameworkOptions struct {
	User      string // Unix user of executors; fixed from the first day (Mesos rule 12)
	Name      string // shown by Mesos' web interface
	Hostname  string // of this scheduler; "" = not told
	Principal string // owner of reservations; can never change (Mesos rule 12)
	Roles     []string
	WebUIURL  string
	// FailoverTimeout; 0 = DefaultFailoverTimeout.
	FailoverTimeout time.Duration
}

// BuildFrameworkInfo returns what SUBSCRIBE sends, without an id. It fails on
// what Mesos would refuse, naming the field.
func BuildFrameworkInfo(o FrameworkOptions) (*mesosv1.FrameworkInfo, error) {
	if o.FailoverTimeout == 0 {
		o.FailoverTimeout = DefaultFailoverTimeout
	}
	fi := &mesosv1.FrameworkInfo{
		User:            o.User,
		Name:            o.Name,
		FailoverTimeout: ptr(o.FailoverTimeout.Seconds()),
		// Executors outlive a restarted agent (Mesos rule 12: from day one).
		Checkpoint: ptr(true),
		// Mesos rule 13: never the old single role beside roles.
		Roles:        append([]string(nil), o.Roles...),
		Hostname:     optional(o.Hostname),
		Principal:    optional(o.Principal),
		WebUiURL:     optional(o.WebUIURL),
		OfferFilters: map[string]mesosv1.OfferFilters{},
	}
	for _, c := range requiredCapabilities {
		fi.Capabilities = append(fi.Capabilities, mesosv1.FrameworkInfo_Capability{Type: c})
	}
	for _, role := range o.Roles {
		fi.OfferFilters[role] = anythingUseful()
	}
	return fi, validateFramework(fi)
}

// requiredCapabilities are those that the core's state machines rely on (Mesos
// rules 13, 14, 15). Others are not asked for, since nothing handles them
// (Mesos rule 16).
var requiredCapabilities = []mesosv1.FrameworkInfo_Capability_Type{
	mesosv1.FrameworkInfo_Capability_PARTITION_AWARE,
	mesosv1.FrameworkInfo_Capability_MULTI_ROLE,
	mesosv1.FrameworkInfo_Capability_RESERVATION_REFINEMENT,
}

// anythingUseful asks for offers of agents that have any of cpus, memory or
// disk left. With the master's default (cpus:0.01|mem:32) an agent with nothing
// left but our reserved disk is never offered, and its volume could neither be
// found nor freed (Mesos rule 24). No quantities at all would mean "anything",
// and bring offers of single ports.
func anythingUseful() mesosv1.OfferFilters {
	least := func(name string, value float64) mesosv1.OfferFilters_ResourceQuantities {
		return mesosv1.OfferFilters_ResourceQuantities{
			Quantities: map[string]mesosv1.Value_Scalar{name: {Value: value}},
		}
	}
	return mesosv1.OfferFilters{
		MinAllocatableResources: &mesosv1.OfferFilters_MinAllocatableResources{
			Quantities: []mesosv1.OfferFilters_ResourceQuantities{
				least("cpus", 0.01), least("mem", 32), least("disk", 1),
			},
		},
	}
}

// validateFramework refuses what Mesos refuses or, worse, silently ignores.
func validateFramework(fi *mesosv1.FrameworkInfo) error {
	if fi == nil {
		return fmt.Errorf("framework: is missing")
	}
	if fi.User == "" {
		return fmt.Errorf("framework.user: is empty; Mesos runs executors as this Unix user")
	}
	if fi.Name == "" {
		return fmt.Errorf("framework.name: is empty")
	}
	if fi.ID != nil {
		return fmt.Errorf("framework.id: must not be set; the stored id is asked for at each subscription")
	}
	if fi.Role != nil {
		return fmt.Errorf("framework.role: must not be set beside roles (MULTI_ROLE)")
	}
	if len(fi.Roles) == 0 {
		return fmt.Errorf("framework.roles: is empty; without a role Mesos offers nothing")
	}
	seen := map[string]bool{}
	for _, role := range fi.Roles {
		if err := validateRole(role); err != nil {
			return fmt.Errorf("framework.roles: %q %w", role, err)
		}
		if seen[role] {
			return fmt.Errorf("framework.roles: %q is named twice", role)
		}
		seen[role] = true
	}
	for role := range fi.OfferFilters {
		if !seen[role] {
			return fmt.Errorf("framework.offer_filters: %q is not one of roles", role)
		}
	}
	for _, c := range requiredCapabilities {
		if !hasCapability(fi, c) {
			return fmt.Errorf("framework.capabilities: %s is missing", c)
		}
	}
	if fi.GetFailoverTimeout() <= 0 {
		return fmt.Errorf("framework.failover_timeout: must be positive; with 0 Mesos kills every task as soon as the scheduler disconnects")
	}
	return nil
}

// validateRole applies Mesos' own rules for role names. "*" is refused because
// nothing can be reserved for it (Mesos rule 29).
func validateRole(role string) error {
	if role == "" {
		return fmt.Errorf("is empty")
	}
	if role == "*" {
		return fmt.Errorf("cannot hold reservations; name a role of your own")
	}
	if strings.ContainsAny(role, " \t\n\v\f\r\b\x7f\\") {
		return fmt.Errorf("contains a space, backspace or backslash")
	}
	for _, part := range strings.Split(role, "/") {
		switch {
		case part == "":
			return fmt.Errorf("begins or ends with a slash, or has two in a row")
		case part == "." || part == ".." || part == "*":
			return fmt.Errorf("has the part %q", part)
		case strings.HasPrefix(part, "-"):
			return fmt.Errorf("has a part that begins with a dash")
		}
	}
	return nil
}

func hasCapability(fi *mesosv1.FrameworkInfo, want mesosv1.FrameworkInfo_Capability_Type) bool {
	for _, c := range fi.Capabilities {
		if c.Type == want {
			return true
		}
	}
	return false
}

func ptr[T any](v T) *T { return &v }

// optional is nil for "", so that an unset field stays off the wire.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
