package v1

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of accepted losses.
const (
	// MaxAcceptedLosses is how many indices one order to replace a node may give up.
	MaxAcceptedLosses = 200
	// MaxIndexName is the longest name of an index, in bytes, as in Elasticsearch.
	MaxIndexName = 255
)

// ReplaceRequest is the body of an order to replace a node. It may be left out.
type ReplaceRequest struct {
	// AcceptDataLoss names exactly the indices that would lose shards with the node:
	// those that a refusal lists in atRisk. Any other set is refused, so that a
	// decision that was taken on other facts has no effect.
	AcceptDataLoss []string `json:"acceptDataLoss,omitempty"`
}

// DecodeReplaceRequest reads and checks the body, as DecodeCluster reads a cluster.
func DecodeReplaceRequest(doc []byte) (ReplaceRequest, *Problem) {
	var r ReplaceRequest
	if p := decodeStrict(doc, &r); p != nil {
		return ReplaceRequest{}, p
	}
	if fields := r.check(); len(fields) > 0 {
		p := NewProblem(400, CodeBodyInvalid, "the request is not valid", "nothing was changed")
		p.Fields = fields[:min(len(fields), MaxFieldErrors)]
		return ReplaceRequest{}, p
	}
	return r, nil
}

func (r ReplaceRequest) check() []FieldError {
	const field = "acceptDataLoss"
	if n := len(r.AcceptDataLoss); n > MaxAcceptedLosses {
		return []FieldError{{Field: field, Message: fmt.Sprintf("names %d indices, at most %d can be given up with one order", n, MaxAcceptedLosses)}}
	}
	var fields []FieldError
	for i, name := range r.AcceptDataLoss {
		text := ""
		switch {
		case name == "" || len(name) > MaxIndexName:
			text = fmt.Sprintf("must be the name of an index, of 1 to %d bytes", MaxIndexName)
		case strings.ContainsAny(name, "*?, "):
			text = fmt.Sprintf("%q is a pattern or a list: name each index by itself", clip(name))
		case slices.Index(r.AcceptDataLoss, name) < i:
			text = fmt.Sprintf("%q is named twice", clip(name))
		default:
			continue
		}
		fields = append(fields, FieldError{Field: fmt.Sprintf("%s[%d]", field, i), Message: text})
	}
	return fields
}

// IndexAtRisk are shards of one index that would be lost.
type IndexAtRisk struct {
	Index string `json:"index"`
	// Shards are numbers of shards, the first 50; ShardCount counts all. It is 0 when
	// Elasticsearch does not show the index's shards.
	Shards     []int `json:"shards"`
	ShardCount int   `json:"shardCount"`
	// Reason says where their copies are, as far as that is known.
	Reason string `json:"reason"`
}

// maxRiskLines is how many of them an error's text shows, maxRiskShards how many
// shards of each.
const (
	maxRiskLines  = 20
	maxRiskShards = 12
)

func (r IndexAtRisk) String() string {
	if r.ShardCount == 0 {
		return fmt.Sprintf("index %s: %s", r.Index, r.Reason)
	}
	numbers := make([]string, 0, maxRiskShards+1)
	for _, n := range r.Shards[:min(len(r.Shards), maxRiskShards)] {
		numbers = append(numbers, strconv.Itoa(n))
	}
	if more := r.ShardCount - len(numbers); more > 0 {
		numbers = append(numbers, fmt.Sprintf("and %d more", more))
	}
	word := "shards"
	if r.ShardCount == 1 {
		word = "shard"
	}
	return fmt.Sprintf("index %s, %s %s: %s", r.Index, word, strings.Join(numbers, ", "), r.Reason)
}
