package executor

import (
	"encoding/json"
	"fmt"
)

// Message is what the scheduler tells a running executor by MESSAGE. Mesos does
// not promise to deliver it, so it says how things are, never what to change,
// and the scheduler repeats it.
type Message struct {
	// SeedHosts replace those of the launch document: host:transportPort of
	// the cluster's master-eligible nodes as they are now.
	SeedHosts []string `json:"seedHosts"`
}

// maxMessageBytes bounds what DecodeMessage reads.
const maxMessageBytes = 64 << 10

// Encode writes the message.
func (m Message) Encode() ([]byte, error) { return json.Marshal(m) }

// DecodeMessage reads a message. Fields of a newer scheduler are ignored: what
// they mean to say will be repeated to an executor that knows them.
func DecodeMessage(b []byte) (Message, error) {
	var m Message
	if len(b) > maxMessageBytes {
		return m, fmt.Errorf("message of %d bytes, at most %d are read", len(b), maxMessageBytes)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("message: %w", err)
	}
	return m, nil
}
