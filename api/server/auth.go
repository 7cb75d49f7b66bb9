package server

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
)

// Scope is what a caller may do.
type Scope string

// The scopes: ReadOnly may only read, Operator may do everything.
const (
	ScopeReadOnly Scope = "readonly"
	ScopeOperator Scope = "operator"
)

// Identity is who calls.
type Identity struct {
	User  string
	Scope Scope
	// Anonymous callers brought no credentials, and none are asked for.
	Anonymous bool
	// trusted is an anonymous caller from a network that may do what it asks.
	trusted bool
}

// Authenticator tells who calls. It is the seam for single sign-on and tenants.
type Authenticator interface {
	// Authenticate returns ErrNoCredentials or ErrBadCredentials, or another
	// error when it cannot tell. It must not log what the request carries.
	Authenticate(r *http.Request) (Identity, error)
}

// Errors of an Authenticator that the server answers with 401.
var (
	ErrNoCredentials  = errors.New("no bearer token was sent")
	ErrBadCredentials = errors.New("the bearer token is not known")
)

// Anonymous lets everybody do everything: for loopback and --insecure only.
type Anonymous struct{}

// Authenticate implements Authenticator.
func (Anonymous) Authenticate(*http.Request) (Identity, error) {
	return Identity{User: "anonymous", Scope: ScopeOperator, Anonymous: true}, nil
}

// tokenPrefix marks Berth's tokens, so that secret scanners can find leaked ones.
const tokenPrefix = "berth_"

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$`)

// NewToken makes a bearer token of 256 random bits, and the line for the token
// file that stands for it. The token itself is stored nowhere.
func NewToken(scope Scope, name string) (token, line string, err error) {
	if scope != ScopeOperator && scope != ScopeReadOnly {
		return "", "", fmt.Errorf("%q is no scope: it must be %s or %s", scope, ScopeOperator, ScopeReadOnly)
	}
	if !tokenName.MatchString(name) {
		return "", "", fmt.Errorf("%q is no token's name: 1 to 64 letters, digits and . _ @ - are allowed", name)
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails (crypto/rand)
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	return token, fmt.Sprintf("%s %s %s", scope, hashToken(token), name), nil
}

// hashToken needs no salt and no slow hash: tokens are random, not chosen.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

type tokenEntry struct {
	hash     []byte
	identity Identity
}

// Tokens is an Authenticator over a token file. Its lines are
// "scope sha256hex name"; empty lines and those beginning with # are skipped.
type Tokens struct {
	path    string
	entries atomic.Pointer[[]tokenEntry]
}

// maxTokenFile bounds the file and with it the work of one authentication.
const maxTokenFile = 1 << 20

// LoadTokens reads a token file. A file without a token is an error: it would
// lock everybody out.
func LoadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	return t, t.Reload()
}

// Reload reads the file again; on an error the tokens stay as they were.
func (t *Tokens) Reload() error {
	content, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("token file: %w", err)
	}
	entries, err := parseTokens(content)
	if err != nil {
		return fmt.Errorf("token file %s: %w", t.path, err)
	}
	t.entries.Store(&entries)
	return nil
}

// parseTokens never quotes a line: someone may have put a token there.
func parseTokens(content []byte) ([]tokenEntry, error) {
	if len(content) > maxTokenFile {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(content), maxTokenFile)
	}
	var entries []tokenEntry
	names := map[string]int{}
	scanner := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 3 {
			return nil, fmt.Errorf("line %d: must be \"scope sha256hex name\", has %d words", n, len(words))
		}
		scope := Scope(words[0])
		if scope != ScopeOperator && scope != ScopeReadOnly {
			return nil, fmt.Errorf("line %d: the scope must be %s or %s", n, ScopeOperator, ScopeReadOnly)
		}
		hash, err := hex.DecodeString(words[1])
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("line %d: the second word must be the token's SHA-256 in 64 hexadecimal digits; \"berth token new\" writes the line", n)
		}
		if !tokenName.MatchString(words[2]) {
			return nil, fmt.Errorf("line %d: the name must be 1 to 64 letters, digits and . _ @ -", n)
		}
		if first, doubled := names[words[2]]; doubled {
			return nil, fmt.Errorf("line %d: the name is that of line %d already", n, first)
		}
		names[words[2]] = n
		entries = append(entries, tokenEntry{hash: hash, identity: Identity{User: words[2], Scope: scope}})
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("it holds no token: make one with \"berth token new\"")
	}
	return entries, nil
}

// Authenticate implements Authenticator. Every entry is compared, in constant
// time, so that the time taken says nothing about a hash.
func (t *Tokens) Authenticate(r *http.Request) (Identity, error) {
	token, given := bearer(r)
	if !given {
		return Identity{}, ErrNoCredentials
	}
	sum := sha256.Sum256([]byte(token))
	var who Identity
	found := 0
	for _, e := range *t.entries.Load() {
		if subtle.ConstantTimeCompare(sum[:], e.hash) == 1 {
			who, found = e.identity, 1
		}
	}
	if found == 0 {
		return Identity{}, ErrBadCredentials
	}
	return who, nil
}

// bearer is the token of a request.
func bearer(r *http.Request) (token string, given bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// CheckExposure refuses to listen where others can reach an API that asks for
// no credentials. listenAddr is host:port as it is given to net.Listen.
func CheckExposure(listenAddr string, tokens, insecure bool) error {
	host, _, err := net.SplitHostPort(listenAddr)
	if err != nil {
		return fmt.Errorf("listen address %q: must be host:port, such as 127.0.0.1:8080: %w", listenAddr, err)
	}
	if tokens || insecure || isLoopback(host) {
		return nil
	}
	where := "the address " + listenAddr
	if host == "" || net.ParseIP(host).IsUnspecified() {
		where = "every address of this machine (" + listenAddr + ")"
	}
	return fmt.Errorf("refusing to listen on %s: anyone who reaches it could delete data. "+
		"Either listen on loopback only (127.0.0.1:PORT), or make bearer tokens with \"berth token new\" and name their file, "+
		"or, on a network that you trust entirely, say --insecure", where)
}

// isLoopback knows "localhost" by name; other names are not looked up, since
// they could change.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
