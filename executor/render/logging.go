package render

import "strings"

// Every version logs to the console alone. The executor rotates what it reads
// from there, so one mechanism bounds the logs of all versions, and the end of
// the log is at hand when a node dies.

// log4j2 is the logging configuration from 5.x on.
func log4j2(v Version, d Distribution) string {
	pattern := "[%d{ISO8601}][%-5p][%-25c{1.}] [%node_name]%marker %m%n"
	if v.Major < 6 {
		pattern = "[%d{ISO8601}][%-5p][%-25c{1.}] %marker%m%n"
	}
	lines := []string{
		"status = error",
		"appender.console.type = Console",
		"appender.console.name = console",
		"appender.console.layout.type = PatternLayout",
		"appender.console.layout.pattern = " + pattern,
		"rootLogger.level = info",
		"rootLogger.appenderRef.console.ref = console",
	}
	if d.HeaderWarnings {
		// Not a log at all: it is what puts deprecation warnings into the
		// HTTP answers that clients read.
		lines = append(lines,
			"appender.header_warning.type = HeaderWarningAppender",
			"appender.header_warning.name = header_warning",
			"logger.deprecation.name = org.elasticsearch.deprecation",
			"logger.deprecation.level = WARN",
			"logger.deprecation.appenderRef.header_warning.ref = header_warning",
		)
	}
	return strings.Join(lines, "\n") + "\n"
}

// logging2 is logging.yml of 2.x.
const logging2 = `rootLogger: INFO, console
appender:
  console:
    type: console
    layout:
      type: consolePattern
      conversionPattern: "[%d{ISO8601}][%-5p][%-25c] %m%n"
`
