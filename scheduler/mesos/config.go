package mesos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
)

// Encoding of messages on the wire.
type Encoding string

const (
	Protobuf Encoding = "protobuf" // the default
	JSON     Encoding = "json"     // readable in a packet capture
)

// Defaults of Config.
const (
	DefaultFrameLimit       = 64 << 20
	DefaultQueueLimit       = 4096
	DefaultCallTimeout      = 10 * time.Second
	DefaultSubscribeTimeout = 30 * time.Second
	DefaultZKTimeout        = 10 * time.Second
)

// minFrameLimit: one OFFERS event carries the offers of all agents, so that a
// few thousand agents need many MiB; less than this breaks real clusters.
const minFrameLimit = 4 << 20

// Config of a Driver. The zero value of a field means its default.
type Config struct {
	// Masters is "zk://[user:password@]host:port,host:port/path", or a comma
	// list of URLs "http://host:port,https://host:port". A host:port without a
	// scheme is http, or https if TLS is set.
	Masters string
	// Framework is what SUBSCRIBE sends, without an id: BuildFrameworkInfo.
	Framework *mesosv1.FrameworkInfo
	// Principal and SecretFile authenticate by HTTP Basic. Principal must equal
	// Framework.Principal (Mesos rule 54). The file holds the secret alone, a
	// trailing newline is ignored; it is read at each connection, so that it
	// can be rotated, and never logged.
	Principal  string
	SecretFile string
	// TLS for https. With zk:// it also says that masters speak https.
	TLS *tls.Config
	// FrameLimit bounds one event, in bytes.
	FrameLimit int
	// QueueLimit bounds the calls that wait for the sender.
	QueueLimit int
	// CallTimeout bounds one call.
	CallTimeout time.Duration
	// SubscribeTimeout bounds the time from SUBSCRIBE to SUBSCRIBED.
	SubscribeTimeout time.Duration
	// ZKTimeout is the session timeout with zk://.
	ZKTimeout time.Duration
	Encoding  Encoding
	Hooks     Hooks
	// Dial replaces the network in tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (c *Config) setDefaults() {
	setDefault(&c.FrameLimit, DefaultFrameLimit)
	setDefault(&c.QueueLimit, DefaultQueueLimit)
	setDefault(&c.CallTimeout, DefaultCallTimeout)
	setDefault(&c.SubscribeTimeout, DefaultSubscribeTimeout)
	setDefault(&c.ZKTimeout, DefaultZKTimeout)
	setDefault(&c.Encoding, Protobuf)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) validate() error {
	if err := validateFramework(c.Framework); err != nil {
		return err
	}
	if c.FrameLimit < minFrameLimit {
		return fmt.Errorf("frame limit: %d bytes is below %d; one event carries the offers of all agents", c.FrameLimit, minFrameLimit)
	}
	if c.QueueLimit < 1 {
		return fmt.Errorf("queue limit: %d must be positive", c.QueueLimit)
	}
	if c.CallTimeout < 0 || c.SubscribeTimeout < 0 || c.ZKTimeout < 0 {
		return fmt.Errorf("timeouts must be positive")
	}
	if _, err := codecFor(c.Encoding); err != nil {
		return err
	}
	if c.SecretFile != "" && c.Principal == "" {
		return fmt.Errorf("principal: is empty but a secret file is given")
	}
	if c.Principal != "" && c.Principal != c.Framework.GetPrincipal() {
		return fmt.Errorf("principal: %q differs from the framework's principal %q; Mesos refuses that", c.Principal, c.Framework.GetPrincipal())
	}
	return nil
}

// masters is Config.Masters, parsed.
type masters struct {
	urls []*url.URL // a URL list, or …
	zk   *zkAddress // … where Mesos' election is
}

type zkAddress struct {
	servers  []string
	path     string
	userinfo string // "user:password"; never logged
}

// String leaves the credentials out.
func (z zkAddress) String() string { return "zk://" + strings.Join(z.servers, ",") + z.path }

// GoString keeps the credentials out of %#v too.
func (z zkAddress) GoString() string { return z.String() }

// RedactMasters returns Config.Masters without credentials, for logs.
func RedactMasters(s string) string {
	items := strings.Split(s, ",")
	for i, item := range items {
		scheme, rest, found := strings.Cut(item, "://")
		if !found {
			scheme, rest = "", item
		} else {
			scheme += "://"
		}
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			rest = "REDACTED" + rest[at:]
		}
		items[i] = scheme + rest
	}
	return strings.Join(items, ",")
}

func parseMasters(s string, withTLS bool) (masters, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return masters{}, errors.New("masters: is empty; give zk://host:port/path or http://host:port")
	}
	if rest, ok := strings.CutPrefix(s, "zk://"); ok {
		z, err := parseZK(rest)
		return masters{zk: z}, err
	}
	var m masters
	for _, item := range strings.Split(s, ",") {
		u, err := parseMaster(strings.TrimSpace(item), withTLS)
		if err != nil {
			return masters{}, err
		}
		m.urls = append(m.urls, u)
	}
	return m, nil
}

func parseMaster(item string, withTLS bool) (*url.URL, error) {
	if strings.Contains(item, "@") {
		// Not repeated in the error: it may hold a secret.
		return nil, errors.New("masters: a URL holds credentials; use the principal and the secret file instead")
	}
	if !strings.Contains(item, "://") {
		scheme := "http://"
		if withTLS {
			scheme = "https://"
		}
		item = scheme + item
	}
	u, err := url.Parse(item)
	if err != nil {
		return nil, fmt.Errorf("masters: %q is no URL: %w", item, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("masters: %q: scheme must be http, https or zk", item)
	}
	if err := checkHostPort(u.Host); err != nil {
		return nil, fmt.Errorf("masters: %q: %w", item, err)
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("masters: %q: give host and port alone", item)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func parseZK(rest string) (*zkAddress, error) {
	z := &zkAddress{}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		z.userinfo, rest = rest[:at], rest[at+1:]
		if user, password, ok := strings.Cut(z.userinfo, ":"); !ok || user == "" || password == "" {
			return nil, errors.New("masters: the credentials in zk:// must be user:password")
		}
	}
	hosts, path, found := strings.Cut(rest, "/")
	if !found || path == "" {
		return nil, fmt.Errorf("masters: zk://%s: the path is missing, as in zk://%s/mesos", rest, hosts)
	}
	z.path = "/" + strings.TrimSuffix(path, "/")
	for _, host := range strings.Split(hosts, ",") {
		if err := checkHostPort(host); err != nil {
			return nil, fmt.Errorf("masters: zk://%s: %w", rest, err)
		}
		z.servers = append(z.servers, host)
	}
	return z, nil
}

func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("%q is not host:port", s)
	}
	return nil
}

// maxSecret bounds the secret file.
const maxSecret = 4096

// readSecret reads the secret; errors name the file, never its content.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	defer f.Close()
	buf := make([]byte, maxSecret+1)
	n, err := readFull(f, buf)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	if n > maxSecret {
		return "", fmt.Errorf("secret file %s: is longer than %d bytes", file, maxSecret)
	}
	secret := strings.TrimRight(string(buf[:n]), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("secret file %s: is empty", file)
	}
	return secret, nil
}
