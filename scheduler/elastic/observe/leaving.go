package observe

// KindExclude has a node left out of allocation by name, and out of the voting
// configuration if it votes, or takes both back.
const KindExclude Kind = "exclude"

// Exclusion is what KindExclude changes. Entries of others stay as they are.
type Exclusion struct {
	// Node is the node's name; Exclude: leave it out, otherwise take that back.
	Node    string
	Exclude bool
	// Allocation and Voting say which of the two are the caller's to change.
	Allocation, Voting bool
}

// LeavingQuestion asks of a node that is to leave the cluster what it still holds.
// It needs Request.Full.
type LeavingQuestion struct {
	// Node is its name. Also are the names of others that will leave after it: no
	// room is counted on them.
	Node string
	Also []string
	// Fit has the answer say whether the nodes that stay have room for its shards,
	// Explain why one of those does not move. Each costs requests.
	Fit, Explain bool
}

// Leaving is the answer. What could not be read completely is a Failure of the
// whole observation, never an empty answer.
type Leaving struct {
	Node string
	// Member: exactly one member has the name, and these are its ids. Namesakes
	// counts the members that have it.
	Member          bool
	ID, EphemeralID string
	Namesakes       int
	// Holds counts the copies on the node, those that are on their way from it or to
	// it among them; Some names a few of them, such as "logs[3]".
	Holds int
	Some  []string
	// Excluded: the exclusion by name that is in force has the node's name as an entry.
	Excluded bool
	// Voter: it is in the committed voting configuration. VotersExcluded are the
	// names of the voting exclusions. Both are of Elasticsearch 7 and later.
	Voter          bool
	VotersExcluded []string

	// With Fit only.

	// Misfits are indices whose copies have no other place, at most MaxMisfits of
	// them; MisfitTotal counts all.
	Misfits     []Misfit
	MisfitTotal int
	// Bytes are on the node, in shards; Room is what the nodes that stay can take
	// before they reach the low watermark, a disk that several of them share counted
	// once. RoomKnown is false where a node did not tell, or the disk threshold is
	// not in force (NoThreshold).
	Bytes, Room int64
	RoomKnown   bool
	NoThreshold bool

	// With Explain only: a shard that does not move, Elasticsearch's decider that
	// keeps it, and its words; "" when none is known.
	Stuck, Decider, Explanation string
}

// Misfit is an index whose copies have no other place, and why.
type Misfit struct{ Index, Reason string }

// Bounds of Leaving.
const (
	MaxMisfits = 20
	MaxHeld    = 5
)
