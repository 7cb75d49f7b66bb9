package mesos

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
	project       = "mesos-scheduler"
	archive       = "mesos.scheduler-1.11.0.linux-x86_64.tar.gz"
	archiveSHA256 = "1d376f20bca6d05ee8b90c1c123a452b28753497ccc2f1c80ea3ac94c12e8f6e"

	// maxIndexPage bounds a package index's answer, maxArchive the download.
	maxIndexPage = 8 << 20
	maxArchive   = 64 << 20
	fetchTimeout = 10 * time.Minute
)

// fetchArchive downloads the archive to dest from the package index that pip is
// configured to use. pip itself cannot: it refuses this kind of file.
func fetchArchive(ctx context.Context, dest string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("download %s: %w; behind a firewall, put the file at %s by hand", archive, err, dest)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	pip, err := readPip(ctx)
	if err != nil {
		return err
	}
	client, err := pip.client()
	if err != nil {
		return err
	}
	file, err := findInIndex(ctx, client, pip.index)
	if err != nil {
		return err
	}
	body, err := get(ctx, client, file, "")
	if err != nil {
		return err
	}
	defer body.Body.Close()
	return saveVerified(body.Body, dest, archiveSHA256)
}

// pipConfig is what of pip's configuration a download needs.
type pipConfig struct {
	index string
	cert  string // bundle of authorities; "" is the system's
}

func readPip(ctx context.Context) (pipConfig, error) {
	out, err := output(ctx, "python3", "-m", "pip", "config", "list")
	if err != nil {
		return pipConfig{}, err
	}
	c := parsePip(out)
	if c.index == "" {
		// pip's own default, asked from pip so that no address is written here.
		out, err := output(ctx, "python3", "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
		if err != nil {
			return pipConfig{}, fmt.Errorf("pip has no index configured and does not tell its default: %w", err)
		}
		c.index = strings.TrimSpace(out)
	}
	return c, nil
}

// parsePip reads lines such as global.index-url='…'. The environment wins over
// files, and a section of a command over the global one, as in pip.
func parsePip(list string) pipConfig {
	var c pipConfig
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

func (c pipConfig) client() (*http.Client, error) {
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

// findInIndex asks a package index of either form, JSON or HTML, for the
// archive's address.
func findInIndex(ctx context.Context, client *http.Client, index string) (string, error) {
	page := strings.TrimRight(index, "/") + "/" + project + "/"
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
		if err != nil || path.Base(u.Path) != archive {
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

// saveVerified writes r to dest, which appears only when its sum is right.
func saveVerified(r io.Reader, dest, sha string) error {
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(dest), ".part-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, maxArchive)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != sha {
		return fmt.Errorf("its sha256 is %s, expected %s: the file is not the one that this build knows", got, sha)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), dest)
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
