package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const module = "github.com/berthdata/berth"

// source is one file of the project.
type source struct {
	path string // relative to the module, with slashes
	text string
	// Go files only.
	fset *token.FileSet
	ast  *ast.File
}

func (s source) pkg() string  { return path.Dir(s.path) }
func (s source) isGo() bool   { return s.ast != nil }
func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// isGenerated follows the convention of the go command.
func (s source) isGenerated() bool { return s.isGo() && ast.IsGenerated(s.ast) }

// at is the place of a node, for messages.
func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// imported is one import of a file.
type imported struct {
	path string
	name string // as the file calls it
	spec *ast.ImportSpec
}

func (s source) imports() []imported {
	var all []imported
	for _, spec := range s.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		name := path.Base(p)
		if strings.HasPrefix(name, "v") && len(name) > 1 && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		all = append(all, imported{path: p, name: name, spec: spec})
	}
	return all
}

// internal gives the path inside the module of an import of the project itself.
func (i imported) internal() (string, bool) {
	return strings.CutPrefix(i.path, module+"/")
}

func parseSource(name, text string) (source, error) {
	s := source{path: name, text: text}
	if !strings.HasSuffix(name, ".go") {
		return s, nil
	}
	s.fset = token.NewFileSet()
	f, err := parser.ParseFile(s.fset, name, text, parser.ParseComments)
	s.ast = f
	return s, err
}

// project reads every text file of the module, but for what builds leave
// behind and what version control keeps for itself.
func project(t *testing.T) []source {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "go.mod"))
	skip := map[string]bool{".git": true, "bin": true, "dist": true, "out": true}
	var all []source
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if rel == ".git" && !d.IsDir() {
			return nil // of a git worktree
		}
		if d.IsDir() {
			// rapid keeps failing runs, with their traces, below testdata.
			if skip[rel] || strings.HasSuffix(filepath.ToSlash(rel), "testdata/rapid") {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if !utf8.Valid(b) {
			return nil
		}
		s, err := parseSource(filepath.ToSlash(rel), string(b))
		all = append(all, s)
		return err
	})
	require.NoError(t, err)
	return all
}
