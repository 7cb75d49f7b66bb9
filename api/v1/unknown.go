package v1

import "time"

// UnknownTaskList is what GET /v1/tasks/unknown answers.
type UnknownTaskList struct {
	// Tasks are those with an order to kill first, then the ones seen first.
	Tasks []UnknownTask `json:"tasks"`
	// LeftOut is how many more there are than are listed.
	LeftOut int `json:"leftOut"`
}

// UnknownTask is a task of Berth's framework that no record explains. It is left
// alone until it ends or a person orders it killed.
type UnknownTask struct {
	TaskID   string `json:"taskId"`
	AgentID  string `json:"agentId"`
	Hostname string `json:"hostname,omitempty"`
	// State is Mesos' own word, such as TASK_RUNNING; "" for one that is to be
	// killed and of which this leader has not been told yet.
	State string `json:"state"`
	// FirstSeen is when the present leader was first told of it (for one that an
	// earlier leader took an order for: when that was), LastSeen when last:
	// reconciliation asks every 15 minutes.
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
	// Message says what the records have instead.
	Message string `json:"message"`
	// KillOrder is the recorded order to kill it, if there is one.
	KillOrder *OrderView `json:"killOrder,omitempty"`
}

// OrderView is an order of a person: when, who and why.
type OrderView struct {
	At      time.Time `json:"at"`
	User    string    `json:"user,omitempty"`
	Message string    `json:"message,omitempty"`
}
