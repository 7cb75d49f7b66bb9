package spark

import (
	"strconv"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// unescape undoes the escapes of java.util.Properties.
func unescape(t require.TestingT, s string) string {
	var units []uint16
	plain := map[byte]uint16{'n': '\n', 'r': '\r', 't': '\t', 'f': '\f'}
	for i := 0; i < len(s); i++ {
		require.Less(t, s[i], byte(0x7f), "only ASCII is written")
		if s[i] != '\\' {
			units = append(units, uint16(s[i]))
			continue
		}
		i++
		require.Less(t, i, len(s), "a line that would continue")
		if s[i] == 'u' {
			n, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			require.NoError(t, err)
			units = append(units, uint16(n))
			i += 4
			continue
		}
		if c, ok := plain[s[i]]; ok {
			units = append(units, c)
			continue
		}
		units = append(units, uint16(s[i]))
	}
	return string(utf16.Decode(units))
}
