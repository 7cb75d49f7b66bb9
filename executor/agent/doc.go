// Package agent is the executor's side towards Mesos: the v1 executor API of
// the agent it runs under, for one task of one workload kind.
//
// One goroutine (agent.loop) owns all state. Others only bring it news: the
// subscription's reader, an attempt to subscribe, the task's runner.
//
// The agent may restart while the task goes on (checkpointing). What it had not
// acknowledged by then is sent again with the next subscription, and only
// there: the agent knows updates by their uuid.
package agent
