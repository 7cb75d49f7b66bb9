package node

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/berthdata/berth/executor/process"
)

// Bounds of what a status update carries of a log.
const (
	causeSize   = 300
	messageSize = 2 << 10
	messageTail = 20 // lines
)

// causes are what a node's last words mean, most telling first: a full disk
// also shows as a failed shard, a taken port also as a failed start.
var causes = []struct {
	sign *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`java\.lang\.OutOfMemoryError`), "the JVM ran out of memory: give the node more memory or heap"},
	{regexp.MustCompile(`There is insufficient memory for the Java Runtime|Cannot allocate memory`), "the machine or container has too little memory for the JVM"},
	{regexp.MustCompile(`(?i)failed to obtain (node|in[- ]?memory)? ?locks?`), "another process uses the same data path"},
	{regexp.MustCompile(`BindException|BindTransportException|BindHttpException|Address already in use`), "a port or address could not be bound"},
	{regexp.MustCompile(`No space left on device|Disk quota exceeded`), "the disk is full"},
	{regexp.MustCompile(`(?i)bootstrap check failure|bootstrap checks failed|^\[\d+\]: `), "Elasticsearch's bootstrap checks refuse this machine"},
	{regexp.MustCompile(`can ?not run elasticsearch as root`), "the node was started as root"},
	{regexp.MustCompile(`(?i)unknown setting \[`), "the configuration has a setting that this version does not know"},
	{regexp.MustCompile(`(?i)cannot (downgrade|upgrade) a node|incompatible with (the )?(current )?version|IndexFormatTooNew|IndexFormatTooOld`), "the data was written by another, incompatible version"},
	{regexp.MustCompile(`(?i)different cluster uuid|CoordinationStateRejectedException`), "the node's data belongs to another cluster"},
	{regexp.MustCompile(`Unrecognized VM option|Unrecognized option:|Could not create the Java Virtual Machine|Conflicting collector|Multiple garbage collectors`), "the JVM refuses one of its options"},
	{regexp.MustCompile(`UnsupportedClassVersionError|(?i)minimum required Java version`), "this Java is too old or too new for the version"},
	{regexp.MustCompile(`AccessDeniedException|Permission denied|AccessControlException`), "the node's user may not use a file"},
	{regexp.MustCompile(`CorruptIndexException|CorruptStateException|checksum failed`), "the node's data on disk is damaged"},
	{regexp.MustCompile(`(?i)fatal (error|exception)|^ERROR: |Exception in thread "main"|StartupException|\[ERROR\s*\]`), "the node reported an error"},
	{regexp.MustCompile(`^(java\.lang\.|org\.elasticsearch\.)\S*(Exception|Error)\b`), "the node reported an error"},
}

// likelyCause reads the end of the log: the most telling sign wins, and of that
// the last line, for what was said last is what ended it. An exception's own
// line tells more than the causes nested below it, which name no file or port.
func likelyCause(lines []string, exit process.Exit) string {
	for _, c := range causes {
		nested := ""
		for i := len(lines) - 1; i >= 0; i-- {
			line := strings.TrimSpace(lines[i])
			if !c.sign.MatchString(line) {
				continue
			}
			if !strings.HasPrefix(line, "Caused by:") {
				return clip(c.hint+": "+line, causeSize)
			}
			if nested == "" {
				nested = line
			}
		}
		if nested != "" {
			return clip(c.hint+": "+nested, causeSize)
		}
	}
	if (exit.Signal == "SIGKILL" || exit.Code == 137) && !exit.Forced {
		return "killed from outside, most likely for going over a memory limit: see the agent's and the kernel's log"
	}
	return ""
}

// epitaph is the message of the terminal update.
func epitaph(node string, exit process.Exit, cause string, lines []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s %s after %s", node, exit, lived(exit.Lived))
	if exit.Forced {
		b.WriteString(" (it did not stop within its grace period)")
	}
	if exit.Left {
		b.WriteString("; processes of it hang in the kernel and are still there")
	}
	if cause != "" {
		b.WriteString(": " + cause)
	}
	room := messageSize - b.Len()
	var tail []string
	for i := len(lines) - 1; i >= 0 && len(tail) < messageTail; i-- {
		line := clip(lines[i], causeSize)
		if room -= len(line) + 1; room < 0 {
			break
		}
		tail = append([]string{line}, tail...)
	}
	if len(tail) > 0 {
		b.WriteString("\nlast lines of its log:\n" + strings.Join(tail, "\n"))
	}
	return b.String()
}

// clip shortens to n bytes, at a rune's border: Mesos messages are UTF-8.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "…"
}
