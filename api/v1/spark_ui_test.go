package v1

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUIAddress(t *testing.T) {
	for _, tt := range []struct{ phase, told, want, why string }{
		{"Running", "http://10.0.0.1:40123", "http://10.0.0.1:40123", ""},
		{"Running", "http://HOST-1.example:40123/", "http://HOST-1.example:40123", ""},
		{"Stopping", "https://host-1.example:1", "https://host-1.example:1", ""},
		{"Starting", "http://10.0.0.1:40123", "", "it is Starting"},
		{"Succeeded", "http://10.0.0.1:40123", "", "it is Succeeded"},
		{"Running", "", "", "has none"},
		{"Running", "http://10.0.0.2:40123", "", "not on the driver's machine, host-1.example"},
		{"Running", "http://169.254.169.254:80", "", "not on the driver's machine"},
		{"Running", "http://host-1.example.evil.example:80", "", "not on the driver's machine"},
		{"Running", "http://10.0.0.1:80@evil.example:80", "", "no address"},
		{"Running", "http://me@10.0.0.1:80", "", "no address"},
		{"Running", "file://10.0.0.1:80/etc/passwd", "", "no address"},
		{"Running", "gopher://10.0.0.1:80", "", "no address"},
		{"Running", "://", "", "no address"},
		{"Running", "http://10.0.0.1", "", "no port"},
		{"Running", "http://10.0.0.1:0", "", "no port"},
		{"Running", "http://10.0.0.1:70000", "", "no port"},
		{"Running", "http://:80", "", "not on the driver's machine"},
	} {
		s := SparkStatus{Phase: tt.phase, UIURL: tt.told, Driver: SparkTaskView{Hostname: "host-1.example", Address: "10.0.0.1"}}
		u, err := s.UIAddress()
		if tt.why != "" {
			require.ErrorContains(t, err, tt.why, tt.told)
			continue
		}
		require.NoError(t, err, tt.told)
		require.Equal(t, tt.want, u.String())
	}
	// Nothing is known of the machine: nothing is asked.
	_, err := SparkStatus{Phase: "Running", UIURL: "http://:80"}.UIAddress()
	require.Error(t, err)
}
