package v1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	good := map[string]int64{
		"0b": 0, "7b": 7, "1kb": 1 << 10, "512mb": 512 << 20, "4gb": 4 << 30, "2tb": 2 << 40,
		"9223372036854775807b": 1<<63 - 1, "8388607tb": 8388607 << 40, "007mb": 7 << 20,
	}
	for s, want := range good {
		got, err := ParseSize(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	bad := map[string]string{
		"": "missing", "4": "no size", "gb": "no size", "4g": "no size", "4GB": "no size", "1.5gb": "1536mb", "-4gb": "no size",
		"+4gb": "no size", "4 gb": "no size", " 4gb": "no size", "4gib": "no size", "4pb": "no size", "0x4gb": "no size",
		"8388608tb": "too large", "9223372036854775808b": "too large", "99999999999999999999gb": "too large", "４gb": "no size",
	}
	for s, want := range bad {
		_, err := ParseSize(s)
		require.ErrorContains(t, err, want, s)
	}
}

func TestParseMiB(t *testing.T) {
	got, err := ParseMiB("1gb")
	require.NoError(t, err)
	require.EqualValues(t, 1024, got)
	got, err = ParseMiB("2048kb")
	require.NoError(t, err)
	require.EqualValues(t, 2, got)
	_, err = ParseMiB("1500kb")
	require.ErrorContains(t, err, "whole number of mb")
}

func TestFormatSizeIsReadBack(t *testing.T) {
	for n, want := range map[int64]string{0: "0b", 1: "1b", 1024: "1kb", 1536 << 20: "1536mb", 4 << 30: "4gb"} {
		require.Equal(t, want, FormatSize(n))
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<62).Draw(t, "bytes")
		back, err := ParseSize(FormatSize(n))
		require.NoError(t, err)
		require.Equal(t, n, back)
	})
}

func TestFormatDuration(t *testing.T) {
	for text, d := range map[string]time.Duration{
		"0s": 0, "30s": 30 * time.Second, "90s": 90 * time.Second, "2m": 2 * time.Minute, "36h": 36 * time.Hour, "7d": 7 * 24 * time.Hour,
	} {
		require.Equal(t, text, FormatDuration(d))
		back, err := ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, d, back)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"0s": 0, "30s": 30 * time.Second, "5m": 5 * time.Minute, "12h": 12 * time.Hour, "7d": 168 * time.Hour} {
		got, err := ParseDuration(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "s", "7", "-1d", "1.5h", "1w", "1h30m", "106752d", "99999999999999999999s"} {
		_, err := ParseDuration(s)
		require.Error(t, err, s)
	}
}
