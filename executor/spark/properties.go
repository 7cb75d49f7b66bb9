package spark

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// encodeProperties writes what java.util.Properties reads back unchanged, sorted
// by name. Spark trims values on reading, except for line ends, so white space at
// a value's ends does not survive: as it would not in spark-defaults.conf.
func encodeProperties(p map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p)) {
		escape(&b, name, true)
		b.WriteByte('=')
		escape(&b, p[name], false)
		b.WriteByte('\n')
	}
	return b.String()
}

func escape(b *strings.Builder, s string, name bool) {
	for i, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == ' ' && (name || i == 0), name && strings.ContainsRune("=:#!", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r > 0x7e:
			// UTF-16 escapes: a reader's character set does not matter then.
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(b, `\u%04X`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
}
