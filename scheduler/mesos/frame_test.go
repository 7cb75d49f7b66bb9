package mesos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mesos/mesos-go/api/v1/lib/master"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func readAll(in io.Reader, limit int) (frames []string, err error) {
	r := newFrameReader(in, limit)
	for {
		frame, err := r.ReadFrame()
		if err != nil {
			return frames, err
		}
		frames = append(frames, string(frame))
	}
}

func TestFrames(t *testing.T) {
	for in, tc := range map[string]struct {
		frames []string
		err    string
	}{
		"":                         {nil, "EOF"},
		"1\na":                     {[]string{"a"}, "EOF"},
		"3\na\nb2\ncd":             {[]string{"a\nb", "cd"}, "EOF"},
		"0\n0\n1\na0\n":            {[]string{"a"}, "EOF"},
		"00000000000000000001\na":  {[]string{"a"}, "EOF"},
		"000000000000000000001\na": {nil, "position 20"},
		"5\nabc":                   {nil, "after 3 of 5 bytes of a frame: unexpected EOF"},
		"5":                        {nil, "unexpected EOF"},
		"\n":                       {nil, `byte '\n' at position 0`},
		"-1\na":                    {nil, `byte '-' at position 0`},
		"1 \na":                    {nil, `byte ' ' at position 1`},
		"8\n12345678":              {[]string{"12345678"}, "EOF"},
		"9\n123456789":             {nil, "frame of 9 bytes is above the limit of 8"},
		"18446744073709551615\n":   {nil, "does not fit"},
		"1844674407370955160\n":    {nil, "frame of 1844674407370955160 bytes is above the limit of 8"},
		"99999999999999999999\n":   {nil, "does not fit into 64 bits; the limit is 8 bytes"},
		"1\na2\nbc\x00":            {[]string{"a", "bc"}, `'\x00' at position 0`},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
		} {
			t.Run(fmt.Sprintf("%q %s", in, name), func(t *testing.T) {
				frames, err := readAll(wrap(strings.NewReader(in)), 8)
				assert.Equal(t, tc.frames, frames)
				assert.ErrorContains(t, err, tc.err)
				assert.Equal(t, tc.err == "EOF", err == io.EOF)
			})
		}
	}
}

// An announced length is not memory: only what arrives is held.
func TestAnnouncedLengthIsNotAllocated(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readAll(strings.NewReader(fmt.Sprintf("%d\nfew bytes", 1<<30)), 1<<30)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

// A frame of 64 MiB passes with the default limit, and its memory is given back.
func TestGiantFrame(t *testing.T) {
	giant := bytes.Repeat([]byte("x"), DefaultFrameLimit)
	in := io.MultiReader(strings.NewReader(fmt.Sprintf("%d\n", len(giant))), bytes.NewReader(giant), strings.NewReader("1\na"))
	r := newFrameReader(in, DefaultFrameLimit)
	frame, err := r.ReadFrame()
	require.NoError(t, err)
	assert.Len(t, frame, DefaultFrameLimit)
	frame, err = r.ReadFrame()
	require.NoError(t, err)
	assert.Equal(t, "a", string(frame))
	assert.Less(t, r.buf.Cap(), keepBuffer)
}

func FuzzFrames(f *testing.F) {
	for _, seed := range []string{"", "1\na", "3\na\nb2\ncd", "0\n1\na", "5\nabc", "99999999999\nx", "18446744073709551616\n", "\n", "-1\n", "<html>"} {
		f.Add([]byte(seed))
	}
	const limit = 64
	f.Fuzz(func(t *testing.T, in []byte) {
		frames, err := readAll(bytes.NewReader(in), limit)
		require.Error(t, err)
		// What was read, written again, is the input's beginning (but for
		// leading zeros and empty frames, which carry nothing).
		total := 0
		for _, frame := range frames {
			require.NotEmpty(t, frame)
			require.LessOrEqual(t, len(frame), limit)
			total += len(frame) + 2
		}
		require.LessOrEqual(t, total, len(in))
		var again bytes.Buffer
		for _, frame := range frames {
			fmt.Fprintf(&again, "%d\n%s", len(frame), frame)
		}
		reread, err := readAll(&again, limit)
		require.True(t, errors.Is(err, io.EOF))
		require.Equal(t, frames, reread)
		slow, _ := readAll(iotest.OneByteReader(bytes.NewReader(in)), limit)
		require.Equal(t, frames, slow, "the frames do not depend on how bytes arrive")
	})
}

// FuzzDecode: nothing that a broken peer sends may crash the process.
func FuzzDecode(f *testing.F) {
	for _, encoding := range []Encoding{Protobuf, JSON} {
		codec, err := codecFor(encoding)
		require.NoError(f, err)
		for _, e := range []*scheduler.Event{heartbeatEvent, rescind("o"), errorEvent("m")} {
			raw, err := encode(codec, e)
			require.NoError(f, err)
			f.Add(raw)
		}
	}
	// A length that wraps around, as in CVE-2021-3121.
	f.Add([]byte("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, encoding := range []Encoding{Protobuf, JSON} {
			codec, err := codecFor(encoding)
			require.NoError(t, err)
			_ = decode(codec, raw, new(scheduler.Event))
			_ = decode(codec, raw, new(master.Response))
		}
	})
}

func TestPanickingDecoderIsAnError(t *testing.T) {
	codec, err := codecFor(Protobuf)
	require.NoError(t, err)
	assert.ErrorContains(t, decode(codec, nil, panicking{}), "malformed message")
}

// panicking is no proto.Message, over which the codec panics.
type panicking struct{}

func (panicking) Unmarshal([]byte) error     { return nil }
func (panicking) UnmarshalJSON([]byte) error { return nil }
