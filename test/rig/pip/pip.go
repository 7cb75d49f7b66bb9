// Package pip downloads files of Python packages from the index that pip is
// configured to use, also such as pip itself refuses or would build first.
package pip

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	// maxIndexPage bounds a package index's answer.
	maxIndexPage = 8 << 20
	fetchTimeout = 10 * time.Minute
)

// File is one file of a package index.
type File struct {
	// Project is the package's name in the index, Name the file's.
	Project, Name string
	SHA256        string // hex
	// MaxBytes bounds the download.
	MaxBytes int64
}

// Fetch downloads a file to dest, which appears only when its sum is right.
func Fetch(ctx context.Context, f File, dest string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("download %s: %w; behind a firewall, put the file at %s by hand", f.Name, err, dest)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	conf, err := readConfig(ctx)
	if err != nil {
		return err
	}
	client, err := conf.client()
	if err != nil {
		return err
	}
	address, err := f.find(ctx, client, conf.index)
	if err != nil {
		return err
	}
	body, err := get(ctx, client, address, "")
	if err != nil {
		return err
	}
	defer body.Body.Close()
	return f.save(body.Body, dest)
}

// config is what of pip's configuration a download needs.
type config struct {
	index string
	cert  string // bundle of authorities; "" is the system's
}

func readConfig(ctx context.Context) (config, error) {
	out, err := output(ctx, "python3", "-m", "pip", "config", "list")
	if err != nil {
		return config{}, err
	}
	c := parseConfig(out)
	if c.index == "" {
		// pip's own default, asked from pip so that no address is written here.
		out, err := output(ctx, "python3", "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
		if err != nil {
			return config{}, fmt.Errorf("pip has no index configured and does not tell its default: %w", err)
		}
		c.index = strings.TrimSpace(out)
	}
	return c, nil
}

// parseConfig reads lines such as global.index-url='…'. The environment wins over
// files, and a section of a command over the global one, as in pip.
func parseConfig(list string) config {
	var c config
	ranks := map[string]int{}
	for line := range strings.Lines(list) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		dot := strings.LastIndex(key, ".")
		if dot < 0 {
			continue
		}
		rank := map[string]int{"global": 1, "download": 2, ":env:": 3}[key[:dot]]
		name := key[dot+1:]
		if rank == 0 || rank < ranks[name] {
			continue
		}
		ranks[name] = rank
		value = strings.Trim(value, `'"`)
		switch name {
		case "index-url":
			c.index = value
		case "cert":
			c.cert = value
		}
	}
	return c
}

func (c config) client() (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if c.cert != "" {
		pem, err := os.ReadFile(c.cert)
		if err != nil {
			return nil, fmt.Errorf("read pip's certificate bundle: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("pip's certificate bundle %s holds no certificate", c.cert)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: t}, nil
}

const jsonIndex = "application/vnd.pypi.simple.v1+json"

var anchor = regexp.MustCompile(`(?is)<a\s[^>]*href\s*=\s*["']([^"']+)["']`)

// find asks a package index of either form, JSON or HTML, for the file's
// address.
func (f File) find(ctx context.Context, client *http.Client, index string) (string, error) {
	page := strings.TrimRight(index, "/") + "/" + f.Project + "/"
	resp, err := get(ctx, client, page, jsonIndex+", text/html;q=0.5")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxIndexPage))
	if err != nil {
		return "", err
	}
	refs, err := indexRefs(resp.Header.Get("Content-Type"), b)
	if err != nil {
		return "", fmt.Errorf("package index %s: %w", resp.Request.URL.Redacted(), err)
	}
	for _, ref := range refs {
		u, err := resp.Request.URL.Parse(ref)
		if err != nil || path.Base(u.Path) != f.Name {
			continue
		}
		u.Fragment = ""
		if u.User == nil && u.Host == resp.Request.URL.Host {
			u.User = resp.Request.URL.User // a private index guards its files too
		}
		return u.String(), nil
	}
	return "", fmt.Errorf("package index %s does not have the file", resp.Request.URL.Redacted())
}

func indexRefs(contentType string, page []byte) ([]string, error) {
	var refs []string
	if strings.Contains(contentType, "json") {
		var list struct {
			Files []struct{ URL string } `json:"files"`
		}
		if err := json.Unmarshal(page, &list); err != nil {
			return nil, err
		}
		for _, f := range list.Files {
			refs = append(refs, f.URL)
		}
		return refs, nil
	}
	for _, m := range anchor.FindAllSubmatch(page, -1) {
		refs = append(refs, html.UnescapeString(string(m[1])))
	}
	return refs, nil
}

func get(ctx context.Context, client *http.Client, address, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			ue.URL = req.URL.Redacted()
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", req.URL.Redacted(), resp.Status)
	}
	return resp, nil
}

// save writes r to dest, which appears only when its sum is right.
func (f File) save(r io.Reader, dest string) error {
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(dest), ".part-")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	defer part.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(part, sum), io.LimitReader(r, f.MaxBytes)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("its sha256 is %s, expected %s: the file is not the one that this build knows", got, f.SHA256)
	}
	if err := part.Close(); err != nil {
		return err
	}
	return os.Rename(part.Name(), dest)
}

// output runs a program and returns what it printed; its error quotes standard
// error.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}
