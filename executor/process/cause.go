package process

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Bounds of what a status update carries of a log.
const (
	CauseSize   = 300
	MessageSize = 2 << 10
	messageTail = 20 // lines
)

// Sign is a line of a log that tells why a process ended.
type Sign struct {
	Pattern *regexp.Regexp
	Hint    string // for people
}

// LikelyCause reads the end of the log: the first sign that is found, most
// telling first, wins, and of that
// the last line, for what was said last is what ended it. An exception's own
// line tells more than the causes nested below it, which name no file or port.
func LikelyCause(signs []Sign, lines []string, exit Exit) string {
	for _, c := range signs {
		nested := ""
		for i := len(lines) - 1; i >= 0; i-- {
			line := strings.TrimSpace(lines[i])
			if !c.Pattern.MatchString(line) {
				continue
			}
			if !strings.HasPrefix(line, "Caused by:") {
				return Clip(c.Hint+": "+line, CauseSize)
			}
			if nested == "" {
				nested = line
			}
		}
		if nested != "" {
			return Clip(c.Hint+": "+nested, CauseSize)
		}
	}
	if (exit.Signal == "SIGKILL" || exit.Code == 137) && !exit.Forced {
		return "killed from outside, most likely for going over a memory limit: see the agent's and the kernel's log"
	}
	return ""
}

// Epitaph is the message of the terminal update: how what ended, and its last words.
func Epitaph(what string, exit Exit, cause string, lines []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s after %s", what, exit, lived(exit.Lived))
	if exit.Forced {
		b.WriteString(" (it did not stop within its grace period)")
	}
	if exit.Left {
		b.WriteString("; processes of it hang in the kernel and are still there")
	}
	if cause != "" {
		b.WriteString(": " + cause)
	}
	room := MessageSize - b.Len()
	var tail []string
	for i := len(lines) - 1; i >= 0 && len(tail) < messageTail; i-- {
		line := Clip(lines[i], CauseSize)
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

// Clip shortens to n bytes, at a rune's border: Mesos messages are UTF-8.
func Clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "…"
}

// lived is a duration for people.
func lived(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
