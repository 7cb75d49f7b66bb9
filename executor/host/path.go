package host

import "os"

// defaultPath is for agents that give their executors no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Path is where programs are looked for.
func Path() string {
	if path := os.Getenv("PATH"); path != "" {
		return path
	}
	return defaultPath
}
