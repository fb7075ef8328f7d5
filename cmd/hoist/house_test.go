package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const houseModule = "github.com/hoistflags/hoist"

// room is what one folder, and every folder below it without a room of its own, may import besides the standard
// library. Pure rooms are the law: values in, values out.
type room struct {
	folder  string
	house   []string // folders of this module
	foreign []string // module paths
	pure    bool
}

const (
	semver     = "github.com/Masterminds/semver/v3"
	murmur     = "github.com/twmb/murmur3"
	strictJSON = "github.com/go-json-experiment/json"
	protobuf   = "google.golang.org/protobuf"
	prometheus = "github.com/prometheus/client_golang"
	connect    = "connectrpc.com/connect"
	uuid       = "github.com/google/uuid"
	yaml       = "go.yaml.in/yaml/v4"
)

// house is the table of the architecture: law below, hands above, one door. Arrows only go down, and the three hands
// (cluster, rollout, transport) never import each other.
var house = []room{
	{folder: "bug"}, // sites of planted defects; nothing is left of them in a build without its tag
	{folder: "evaluator", foreign: []string{semver, murmur, strictJSON}, pure: true},
	{folder: "fsm", house: []string{"evaluator", "bug"}, foreign: []string{semver, strictJSON}, pure: true},
	{folder: "fsm/manifest", house: []string{"fsm", "evaluator"}, foreign: []string{yaml, strictJSON}},
	{folder: "cluster", house: []string{"fsm", "bug", "cluster/archive"}, foreign: []string{
		"github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb/v2", "go.etcd.io/bbolt", "github.com/hashicorp/raft-wal", "github.com/hashicorp/memberlist",
		"github.com/hashicorp/go-hclog", "github.com/klauspost/compress", prometheus, uuid}},
	{folder: "cluster/archive", house: []string{"fsm"}},
	{folder: "cluster/clustertest", house: []string{"cluster", "fsm", "evaluator"}, foreign: []string{
		"github.com/hashicorp/raft", "github.com/hashicorp/memberlist"}}, // whose transports it replaces
	{folder: "rollout", house: []string{"fsm", "evaluator"}, foreign: []string{"github.com/expr-lang/expr", "github.com/adhocore/gronx", yaml, strictJSON}},
	{folder: "rollout/prometheus", house: []string{"rollout"}, foreign: []string{prometheus, "github.com/prometheus/common"}},
	{folder: "rollout/web", house: []string{"rollout"}},
	{folder: "rollout/webhook", house: []string{"rollout", "fsm"}, foreign: []string{yaml}},
	{folder: "rollout/argo", house: []string{"rollout", "fsm"}, foreign: []string{yaml}},
	{folder: "transport", house: []string{"fsm", "evaluator", "transport"}, foreign: []string{
		connect, "connectrpc.com/grpchealth", "connectrpc.com/grpcreflect", "connectrpc.com/otelconnect", protobuf, prometheus,
		strictJSON, uuid, "golang.org/x/time"}},
	{folder: "transport/api", house: []string{"transport/api"}, foreign: []string{connect, protobuf}},
	{folder: "transport/wire", house: []string{"transport/api", "evaluator", "fsm"}, foreign: []string{protobuf}},
	{folder: "transport/stream", house: []string{"bug", "transport/api", "transport/wire", "evaluator"}, foreign: []string{protobuf, connect}},
	{folder: "transport/client", house: []string{"transport/api", "transport/wire", "evaluator"}, foreign: []string{connect, protobuf, uuid}},
	{folder: "transport/client/hoisttest", house: []string{"transport/client", "evaluator"}},
	{folder: "examples"},
	{folder: "cmd/hoist", house: []string{"evaluator", "fsm", "cluster", "rollout", "transport", "examples"}, foreign: []string{
		"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/knadh/koanf/v2", yaml, connect, protobuf, prometheus, uuid,
		"github.com/armon/go-metrics", // raft's and memberlist's own measurements
		// only for `bench writes`, whose baseline is a bare raft loop
		"github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb/v2", "go.etcd.io/bbolt", "github.com/hashicorp/go-hclog"}},
	{folder: "chaos", house: []string{"bug", "evaluator", "fsm", "cluster", "rollout", "transport"}, foreign: []string{
		connect, "github.com/anishathalye/porcupine", "github.com/hashicorp/raft"}},
}

// impure is what a file of the law must not import itself. fmt pulls in os, so only direct imports count.
var impure = []string{"os", "net", "log", "math/rand"}

type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Standard   bool
	Module     *struct {
		Path string
		Main bool
	}
}

func TestHouseArrowsPointDown(t *testing.T) {
	packages := listPackages(t)
	modules := map[string]string{} // import path → module path
	for _, p := range packages {
		if p.Module != nil {
			modules[p.ImportPath] = p.Module.Path
		}
	}
	for _, p := range packages {
		if p.Module == nil || !p.Module.Main {
			continue
		}
		folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, houseModule), "/")
		r, ok := roomOf(folder)
		if !ok {
			t.Errorf("%s has no place in the house: give it a row in house_test.go that says what it may import", folder)
			continue
		}
		for _, imported := range p.Imports {
			if why := r.refuses(folder, imported, modules[imported]); why != "" {
				t.Error(why)
			}
		}
	}
}

func TestHouseLawIsPure(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.Module == nil || !p.Module.Main {
			continue
		}
		folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, houseModule), "/")
		if r, ok := roomOf(folder); !ok || !r.pure {
			continue
		}
		for _, name := range p.GoFiles {
			for _, why := range impurities(t, filepath.Join(p.Dir, name)) {
				t.Errorf("%s/%s %s: the law takes time, ids and chance from the proposal", folder, name, why)
			}
		}
	}
}

// roomOf finds the row of the folder or of its nearest parent.
func roomOf(folder string) (room, bool) {
	var best room
	for _, r := range house {
		if (folder == r.folder || strings.HasPrefix(folder, r.folder+"/")) && len(r.folder) > len(best.folder) {
			best = r
		}
	}
	return best, best.folder != ""
}

// refuses says in words why folder must not import what it imports; "" when it may.
func (r room) refuses(folder, imported, module string) string {
	if inside, ours := strings.CutPrefix(imported, houseModule+"/"); ours {
		for _, h := range r.house {
			if inside == h || strings.HasPrefix(inside, h+"/") {
				return ""
			}
		}
		return fmt.Sprintf("%s imports %s: an arrow of the house is broken; %s may only stand on [%s]. "+
			"Declare an interface where it is used, or move the shared part to the lower floor",
			folder, inside, r.folder, strings.Join(r.house, ", "))
	}
	if module == "" || slices.Contains(r.foreign, module) {
		return "" // the standard library is judged by TestHouseLawIsPure
	}
	return fmt.Sprintf("%s imports %s: %s may use the standard library and [%s] only",
		folder, imported, r.folder, strings.Join(r.foreign, ", "))
}

// impurities lists forbidden imports and calls of time.Now in one file.
func impurities(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	require.NoError(t, err)
	var found []string
	clock := ""
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		if imported == "time" {
			clock = "time"
			if spec.Name != nil {
				clock = spec.Name.Name
			}
		}
		for _, bad := range impure {
			if imported == bad || strings.HasPrefix(imported, bad+"/") && imported != "net/netip" {
				found = append(found, "imports "+imported)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if on, ok := n.X.(*ast.Ident); ok && clock != "" && on.Name == clock && slices.Contains([]string{"Now", "Since", "Until"}, n.Sel.Name) {
				found = append(found, "reads the clock with time."+n.Sel.Name)
			}
		case *ast.GoStmt:
			found = append(found, "starts a goroutine")
		}
		return true
	})
	return found
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	require.NoError(t, err)
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Imports,Standard,Module", "./...")
	cmd.Dir = strings.TrimSpace(string(root))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}
