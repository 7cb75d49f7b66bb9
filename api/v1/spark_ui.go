package v1

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// UIAddress is where the driver's UI is to be asked, as scheme and host alone.
// The driver tells its UI's address itself; it counts only for the machine on
// which Mesos runs the driver. The error says why there is none.
func (s SparkStatus) UIAddress() (*url.URL, error) {
	switch {
	case s.Phase != "Running" && s.Phase != "Stopping":
		return nil, fmt.Errorf("its driver does not run: it is %s", s.Phase)
	case s.UIURL == "":
		return nil, errors.New("its driver has none (spark.ui.enabled?)")
	}
	told, err := url.Parse(s.UIURL)
	if err != nil || (told.Scheme != "http" && told.Scheme != "https") || told.User != nil {
		return nil, fmt.Errorf("%q, which its driver told, is no address of a UI", clip(s.UIURL))
	}
	port, err := strconv.ParseUint(told.Port(), 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%q, which its driver told, has no port", clip(s.UIURL))
	}
	host, d := told.Hostname(), s.Driver
	if host == "" || !strings.EqualFold(host, d.Hostname) && host != d.Address {
		return nil, fmt.Errorf("%q, which its driver told, is not on the driver's machine, %s", clip(s.UIURL), d.Hostname)
	}
	return &url.URL{Scheme: told.Scheme, Host: told.Host}, nil
}
