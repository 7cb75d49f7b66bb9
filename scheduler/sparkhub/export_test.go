package sparkhub

import "time"

// LookEvery sets how often silent drivers are looked for; before Run.
func (h *Hub) LookEvery(d time.Duration) { h.every = d }
