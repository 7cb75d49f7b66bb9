package process

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnce(t *testing.T) {
	o := NewOnce()
	assert.False(t, o.Asked())
	proc, err := o.Start(t.Context(), Command{Path: "/bin/sleep", Args: []string{"600"}, Log: t.Output()})
	require.NoError(t, err)
	assert.Same(t, proc, o.Process())
	o.Stop(time.Minute)
	o.Stop(time.Minute)
	<-o.Stopped()
	<-proc.Done()
	assert.Equal(t, "SIGTERM", proc.Exit().Signal)
	assert.True(t, o.Asked())
}

func TestOnceStoppedFirst(t *testing.T) {
	o := NewOnce()
	o.Stop(0)
	_, err := o.Start(t.Context(), Command{Path: "/bin/sleep", Args: []string{"600"}, Log: t.Output()})
	require.ErrorIs(t, err, ErrStopped)
	assert.Nil(t, o.Process())
}
