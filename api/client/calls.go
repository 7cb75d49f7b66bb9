package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

const (
	pathReady   = "/readyz"
	pathUnknown = "/v1/tasks/unknown"
)

// Types of a document for PutCluster.
const (
	TypeJSON = "application/json"
	TypeYAML = "application/yaml"
)

// PutOptions accompany a spec.
type PutOptions struct {
	DryRun bool
	// IfGeneration is the generation that the caller saw; 0: the cluster must
	// not exist; nil: no lock.
	IfGeneration *int64
	Message      string
}

func clusterPath(name, part string) string {
	path := "/v1/clusters/" + url.PathEscape(name)
	if part != "" {
		path += "/" + part
	}
	return path
}

func withMessage(query url.Values, message string) url.Values {
	if message != "" {
		query.Set("message", message)
	}
	return query
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	err := c.call(ctx, http.MethodGet, path, nil, nil, "", &out)
	return out, err
}

// PutCluster sends a spec as it was written, so that Berth's own decoding
// judges it: name is the cluster's, contentType TypeJSON or TypeYAML.
func (c *Client) PutCluster(ctx context.Context, name string, doc []byte, contentType string, o PutOptions) (v1.Accepted, error) {
	return c.put(ctx, clusterPath(name, ""), doc, contentType, o)
}

func (c *Client) put(ctx context.Context, path string, doc []byte, contentType string, o PutOptions) (v1.Accepted, error) {
	query := withMessage(url.Values{}, o.Message)
	if o.DryRun {
		query.Set("dryRun", "true")
	}
	if o.IfGeneration != nil {
		query.Set("ifGeneration", strconv.FormatInt(*o.IfGeneration, 10))
	}
	var out v1.Accepted
	err := c.call(ctx, http.MethodPut, path, query, doc, contentType, &out)
	return out, err
}

// DeleteCluster deletes a cluster; its volumes are kept for the retention time
// (nil: the scheduler's default), which is rounded up to seconds.
func (c *Client) DeleteCluster(ctx context.Context, name string, retention *time.Duration, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{"confirm": {name}}, message)
	if retention != nil {
		query.Set("retention", seconds(*retention))
	}
	var out v1.Accepted
	err := c.call(ctx, http.MethodDelete, clusterPath(name, ""), query, nil, "", &out)
	return out, err
}

// RestartCluster orders a rolling restart of nodes, or of all (none named).
func (c *Client) RestartCluster(ctx context.Context, name string, nodes []string, dryRun bool, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{}, message)
	if len(nodes) > 0 {
		query.Set("nodes", strings.Join(nodes, ","))
	}
	if dryRun {
		query.Set("dryRun", "true")
	}
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, clusterPath(name, "restart"), query, nil, "", &out)
	return out, err
}

// ControlPlan pauses, resumes or cancels the plan under way (by verb).
func (c *Client) ControlPlan(ctx context.Context, name, verb, message string) (v1.Accepted, error) {
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, clusterPath(name, "plan/"+verb), withMessage(url.Values{}, message), nil, "", &out)
	return out, err
}

// OverrideGate sets a gate of the plan under way aside for a time, which is
// rounded up to seconds.
func (c *Client) OverrideGate(ctx context.Context, name, gate string, d time.Duration, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{"gate": {gate}, "for": {fmt.Sprintf("%ds", (d+time.Second-1)/time.Second)}}, message)
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, clusterPath(name, "plan/override"), query, nil, "", &out)
	return out, err
}

// Clusters lists all clusters.
func (c *Client) Clusters(ctx context.Context) ([]v1.ClusterView, error) {
	out, err := get[v1.ClusterList](ctx, c, "/v1/clusters")
	return out.Clusters, err
}

// Cluster reads one cluster.
func (c *Client) Cluster(ctx context.Context, name string) (v1.ClusterView, error) {
	return get[v1.ClusterView](ctx, c, clusterPath(name, ""))
}

// Nodes lists a cluster's nodes.
func (c *Client) Nodes(ctx context.Context, name string) ([]v1.NodeView, error) {
	out, err := get[v1.NodeList](ctx, c, clusterPath(name, "nodes"))
	return out.Nodes, err
}

// Plan reads a cluster's plan.
func (c *Client) Plan(ctx context.Context, name string) (v1.PlanView, error) {
	return get[v1.PlanView](ctx, c, clusterPath(name, "plan"))
}

// Explain reads why nodes have no place.
func (c *Client) Explain(ctx context.Context, name string) (v1.Explanation, error) {
	return get[v1.Explanation](ctx, c, clusterPath(name, "explain"))
}

// Survives reads what the loss of each machine would do to a cluster, or with "" to
// all of them.
func (c *Client) Survives(ctx context.Context, name string) (v1.Certificate, error) {
	path := "/v1/survives"
	if name != "" {
		path = clusterPath(name, "survives")
	}
	return get[v1.Certificate](ctx, c, path)
}

// Endpoints reads where a cluster's nodes answer.
func (c *Client) Endpoints(ctx context.Context, name string) (v1.Endpoints, error) {
	return get[v1.Endpoints](ctx, c, clusterPath(name, "endpoints"))
}

// Agents lists the Mesos agents.
func (c *Client) Agents(ctx context.Context) ([]v1.AgentView, error) {
	out, err := get[v1.AgentList](ctx, c, "/v1/agents")
	return out.Agents, err
}

// AuditQuery says which entries of the audit log are asked for: what is empty does
// not filter.
type AuditQuery struct {
	User, Verb, Kind, Target string
	Since, Until             time.Time
	Before                   int64
	Limit                    int
}

// Audit reads the audit log, the newest entry first.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (v1.AuditList, error) {
	query := url.Values{}
	for name, value := range map[string]string{"user": q.User, "verb": q.Verb, "kind": q.Kind, "target": q.Target} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	if q.Before > 0 {
		query.Set("before", strconv.FormatInt(q.Before, 10))
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	var out v1.AuditList
	err := c.call(ctx, http.MethodGet, "/v1/audit", query, nil, "", &out)
	return out, err
}

// VolumeQuery says what of the ledger is asked for; the zero value is all of it.
type VolumeQuery struct {
	Classes []string
	Cluster string
	// Fresh: have the master asked first.
	Fresh bool
}

// Volumes reads the ledger.
func (c *Client) Volumes(ctx context.Context, q VolumeQuery) (v1.VolumeList, error) {
	query := url.Values{}
	if len(q.Classes) > 0 {
		query.Set("class", strings.Join(q.Classes, ","))
	}
	if q.Cluster != "" {
		query.Set("cluster", q.Cluster)
	}
	if q.Fresh {
		query.Set("fresh", "true")
	}
	var out v1.VolumeList
	err := c.call(ctx, http.MethodGet, "/v1/volumes", query, nil, "", &out)
	return out, err
}

// ReplaceOptions accompany the order to replace a node.
type ReplaceOptions struct {
	DryRun bool
	// AcceptDataLoss names exactly the indices whose shards would be lost.
	AcceptDataLoss []string
	Message        string
}

// ReplaceNode orders a node replaced whose agent is away.
func (c *Client) ReplaceNode(ctx context.Context, cluster, node string, o ReplaceOptions) (v1.Accepted, error) {
	query := withMessage(url.Values{}, o.Message)
	if o.DryRun {
		query.Set("dryRun", "true")
	}
	var doc []byte
	kind := ""
	if len(o.AcceptDataLoss) > 0 {
		var err error
		if doc, err = json.Marshal(v1.ReplaceRequest{AcceptDataLoss: o.AcceptDataLoss}); err != nil {
			return v1.Accepted{}, err
		}
		kind = TypeJSON
	}
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, replacePath(cluster, node), query, doc, kind, &out)
	return out, err
}

// CancelReplacement takes the order to replace a node back.
func (c *Client) CancelReplacement(ctx context.Context, cluster, node, message string) (v1.Accepted, error) {
	var out v1.Accepted
	err := c.call(ctx, http.MethodDelete, replacePath(cluster, node), withMessage(url.Values{}, message), nil, "", &out)
	return out, err
}

func replacePath(cluster, node string) string {
	return clusterPath(cluster, "nodes/"+url.PathEscape(node)+"/replace")
}

// DestroyVolume orders the destruction of a volume.
func (c *Client) DestroyVolume(ctx context.Context, id, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{"confirm": {id}}, message)
	var out v1.Accepted
	err := c.call(ctx, http.MethodDelete, "/v1/volumes/"+url.PathEscape(id), query, nil, "", &out)
	return out, err
}

// RestoreVolume takes the order to destroy a volume back.
func (c *Client) RestoreVolume(ctx context.Context, id, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{}, message)
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, "/v1/volumes/"+url.PathEscape(id)+"/restore", query, nil, "", &out)
	return out, err
}

// UnknownTasks lists the tasks that no record explains.
func (c *Client) UnknownTasks(ctx context.Context) (v1.UnknownTaskList, error) {
	return get[v1.UnknownTaskList](ctx, c, pathUnknown)
}

// KillUnknownTask orders an unknown task killed.
func (c *Client) KillUnknownTask(ctx context.Context, taskID, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{"confirm": {taskID}}, message)
	var out v1.Accepted
	err := c.call(ctx, http.MethodDelete, pathUnknown+"/"+url.PathEscape(taskID), query, nil, "", &out)
	return out, err
}

// KeepUnknownTask takes the order to kill an unknown task back.
func (c *Client) KeepUnknownTask(ctx context.Context, taskID, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{}, message)
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, pathUnknown+"/"+url.PathEscape(taskID)+"/keep", query, nil, "", &out)
	return out, err
}

// RepairOptions accompany the plan of a repair.
type RepairOptions struct {
	// Findings to repair; none: orphans and what is missing.
	Findings []string
	// Retained: also kept volumes of deleted clusters whose retention is over.
	Retained bool
	// Retention of orphaned volumes after the approval; nil: the scheduler's default.
	Retention *time.Duration
	Message   string
}

const repairsPath = "/v1/volumes/repairs"

// PlanRepair has a plan made and recorded; its id is the answer's Name.
func (c *Client) PlanRepair(ctx context.Context, o RepairOptions) (v1.Accepted, error) {
	query := withMessage(url.Values{}, o.Message)
	if len(o.Findings) > 0 {
		query.Set("findings", strings.Join(o.Findings, ","))
	}
	if o.Retained {
		query.Set("retained", "true")
	}
	if o.Retention != nil {
		query.Set("retention", seconds(*o.Retention))
	}
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, repairsPath, query, nil, "", &out)
	return out, err
}

// Repairs lists the repairs on record.
func (c *Client) Repairs(ctx context.Context) (v1.RepairList, error) {
	return get[v1.RepairList](ctx, c, repairsPath)
}

// Repair reads one repair.
func (c *Client) Repair(ctx context.Context, id string) (v1.RepairView, error) {
	return get[v1.RepairView](ctx, c, repairsPath+"/"+url.PathEscape(id))
}

// ApproveRepair starts exactly the plan that has this fingerprint.
func (c *Client) ApproveRepair(ctx context.Context, id, fingerprint, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{"fingerprint": {fingerprint}}, message)
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, repairsPath+"/"+url.PathEscape(id)+"/approve", query, nil, "", &out)
	return out, err
}

// CancelRepair takes one step of a repair back, or, with step 0, all that has not
// begun.
func (c *Client) CancelRepair(ctx context.Context, id string, step int, message string) (v1.Accepted, error) {
	query := withMessage(url.Values{}, message)
	if step > 0 {
		query.Set("step", strconv.Itoa(step))
	}
	var out v1.Accepted
	err := c.call(ctx, http.MethodPost, repairsPath+"/"+url.PathEscape(id)+"/cancel", query, nil, "", &out)
	return out, err
}

// seconds writes a time span, rounded up.
func seconds(d time.Duration) string {
	return fmt.Sprintf("%ds", (d+time.Second-1)/time.Second)
}

// Readiness reads what the Berth at the client's address waits for. A Berth
// that is not ready is no error.
func (c *Client) Readiness(ctx context.Context) (v1.Readiness, error) {
	return get[v1.Readiness](ctx, c, pathReady)
}
