package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/cluster"
)

// settings is how a server runs. A member comes from the first that has it: flag, HOIST_SERVER__* variable, YAML file,
// default.
type settings struct {
	HTTP            string   `koanf:"http"`
	Peer            string   `koanf:"peer"`
	Gossip          string   `koanf:"gossip"`
	HTTPAdvertise   string   `koanf:"http_advertise"`
	PeerAdvertise   string   `koanf:"peer_advertise"`
	GossipAdvertise string   `koanf:"gossip_advertise"`
	DataDir         string   `koanf:"data_dir"`
	LogStore        string   `koanf:"log_store"`
	NodeName        string   `koanf:"node_name"`
	ClusterName     string   `koanf:"cluster_name"`
	Join            []string `koanf:"join"`
	BootstrapExpect int      `koanf:"bootstrap_expect"`
	Profile         string   `koanf:"profile"`
	GossipKeyFile   string   `koanf:"gossip_key_file"`
	WebhooksFile    string   `koanf:"webhooks_file"`
	Insecure        bool     `koanf:"insecure"`
	InsecureNoAuth  bool     `koanf:"insecure_no_auth"`
	LogLevel        string   `koanf:"log_level"`
	DiskReserve     string   `koanf:"disk_reserve"`
	DiskBallast     string   `koanf:"disk_ballast"`
	DialVia         []string `koanf:"dial_via"`
}

// option is one setting as the command line, the environment and the file see it.
type option struct {
	key      string // as in the file: data_dir; the flag is --data-dir, the variable HOIST_SERVER__DATA_DIR
	fallback any    // its type is the option's type
	help     string
}

func serverOptions() []option {
	return []option{
		{"http", "127.0.0.1:7700", "address of the door: OFREP, Connect, gRPC, streams, health, metrics"},
		{"peer", "127.0.0.1:7701", "address for raft and the cluster's own protocol"},
		{"gossip", "127.0.0.1:7702", "address for membership gossip, TCP and UDP"},
		{"http_advertise", "", "address others reach the door at (default: the one listened on)"},
		{"peer_advertise", "", "address other nodes reach the peer port at (default: the one listened on)"},
		{"gossip_advertise", "", "address other nodes reach gossip at (default: the one listened on)"},
		{"data_dir", "./hoist-data", "where log, snapshots and node id live"},
		{"log_store", "", "what keeps the log: bolt, or wal, which takes more writes (default: what data_dir was made with, bolt for a new one)"},
		{"node_name", "", "name shown to people (default: host name)"},
		{"cluster_name", "hoist", "name of the cluster; nodes of another name are ignored"},
		{"join", []string{}, "gossip addresses of any members, repeatable or separated by commas"},
		{"bootstrap_expect", 0, "how many servers make the first cluster; needed on the first start unless joining one that exists"},
		{"profile", "lan", "raft timings: lan or wan"},
		{"gossip_key_file", "", "file with the 32 bytes, as 64 hex digits, that encrypt gossip"},
		{"webhooks_file", "", "YAML file with the receivers of notices: their names, addresses and secrets"},
		{"insecure", false, "allow peers and gossip beyond loopback without a key"},
		{"insecure_no_auth", false, "let everybody on this machine in without a token; only with --http on loopback"},
		{"log_level", "info", "debug, info, warn or error"},
		{"disk_reserve", "256MiB", "no writes below this much free space, or below 5 % of the disk; at most a quarter of the disk counts"},
		{"disk_ballast", "64MiB", "size of a file that is deleted when the disk is full, 0 for none; at most a 16th of the disk counts"},
		{"dial_via", []string{}, "MEMBER=OTHER: dial OTHER to reach the peer or gossip address MEMBER, for address translation and proxies; repeatable"},
	}
}

func (o option) flag() string     { return strings.ReplaceAll(o.key, "_", "-") }
func (o option) variable() string { return "HOIST_SERVER__" + strings.ToUpper(o.key) }

// settingsFlags adds --config and one flag per option.
func settingsFlags(f *pflag.FlagSet) {
	f.String("config", "", "YAML file with these settings (keys with _ instead of -)")
	for _, o := range serverOptions() {
		help := o.help + " (" + o.variable() + ")"
		switch fallback := o.fallback.(type) {
		case string:
			f.String(o.flag(), fallback, help)
		case bool:
			f.Bool(o.flag(), fallback, help)
		case int:
			f.Int(o.flag(), fallback, help)
		case []string:
			f.StringSlice(o.flag(), fallback, help)
		}
	}
}

// layer is one source of settings, in the form koanf reads.
type layer map[string]any

func (l layer) ReadBytes() ([]byte, error) {
	return nil, errors.New("a layer of settings has no bytes")
}
func (l layer) Read() (map[string]any, error) { return maps.Clone(l), nil }

// loadSettings reads all layers. origin says per key which one decided.
func loadSettings(cmd *cobra.Command) (s settings, origin map[string]string, err error) {
	k := koanf.New(".")
	origin = map[string]string{}
	load := func(name string, l layer) error {
		for key := range l {
			origin[key] = name
		}
		return k.Load(l, nil)
	}
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return s, nil, err
	}
	fromFile, err := fileLayer(file)
	if err != nil {
		return s, nil, err
	}
	fromEnvironment, err := environmentLayer(os.Environ())
	if err != nil {
		return s, nil, err
	}
	for _, source := range []struct {
		name string
		l    layer
	}{{"default", defaultLayer()}, {file, fromFile}, {"environment", fromEnvironment}, {"flag", flagLayer(cmd.Flags())}} {
		if err := load(source.name, source.l); err != nil {
			return s, nil, err
		}
	}
	if err := k.Unmarshal("", &s); err != nil {
		return s, nil, failed(cmd.CommandPath()+" --help", "a setting has the wrong type: %v", err)
	}
	return s, origin, s.check()
}

func defaultLayer() layer {
	l := layer{}
	for _, o := range serverOptions() {
		l[o.key] = o.fallback
	}
	return l
}

func flagLayer(f *pflag.FlagSet) layer {
	l := layer{}
	for _, o := range serverOptions() {
		flag := f.Lookup(o.flag())
		if flag == nil || !flag.Changed {
			continue
		}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			l[o.key] = list.GetSlice()
			continue
		}
		l[o.key] = flag.Value.String()
	}
	return l
}

// environmentLayer is strict like the file: a misspelt variable must not be ignored in silence.
func environmentLayer(environment []string) (layer, error) {
	l := layer{}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		key, ours := strings.CutPrefix(name, "HOIST_SERVER__")
		if !ours {
			continue
		}
		key = strings.ToLower(key)
		o, ok := findOption(key)
		if !ok {
			return nil, failed("hoist server --help lists the variables", "the variable %s names no setting", name)
		}
		if _, list := o.fallback.([]string); list {
			l[key] = splitList(value)
			continue
		}
		l[key] = value
	}
	return l, nil
}

// fileLayer reads the YAML file; "" is no file.
func fileLayer(path string) (layer, error) {
	if path == "" {
		return layer{}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, failed("another --config", "%v", err)
	}
	var document yaml.Node
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err == nil {
		err = loader.Load(&document)
	}
	if err != nil && !errors.Is(err, io.EOF) { // a file without settings is fine
		return nil, failed("correct the file", "%s: %v", path, err)
	}
	l := layer{}
	if len(document.Content) == 0 {
		return l, nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, failed("http: 127.0.0.1:7700, one setting per line", "%s:%d: settings are a mapping", path, root.Line)
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		if _, ok := findOption(key.Value); !ok {
			return nil, failed("hoist config check --help", "%s:%d: there is no setting %q", path, key.Line, key.Value)
		}
		var value any
		if err := node.Decode(&value); err != nil {
			return nil, failed("correct the file", "%s:%d: %v", path, node.Line, err)
		}
		l[key.Value] = value
	}
	return l, nil
}

func findOption(key string) (option, bool) {
	options := serverOptions()
	i := slices.IndexFunc(options, func(o option) bool { return o.key == key })
	if i < 0 {
		return option{}, false
	}
	return options[i], true
}

func splitList(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// check refuses what cannot run, and what would run in the open without being asked to.
func (s *settings) check() error {
	for _, address := range []struct{ option, value string }{{"http", s.HTTP}, {"peer", s.Peer}, {"gossip", s.Gossip}} {
		if _, _, err := net.SplitHostPort(address.value); err != nil {
			return failed("--"+address.option+" 127.0.0.1:7700", "%s: %q is not host:port", address.option, address.value)
		}
	}
	if s.Profile != string(cluster.ProfileLAN) && s.Profile != string(cluster.ProfileWAN) {
		return failed("--profile lan", "profile: %q is neither lan nor wan", s.Profile)
	}
	if s.LogStore != "" && s.LogStore != string(cluster.LogBolt) && s.LogStore != string(cluster.LogWAL) {
		return failed("--log-store wal", "log_store: %q is neither bolt nor wal", s.LogStore)
	}
	if _, err := logLevel(s.LogLevel); err != nil {
		return err
	}
	if _, err := s.sizes(); err != nil {
		return err
	}
	if _, err := s.dialVia(); err != nil {
		return err
	}
	if s.BootstrapExpect < 0 {
		return failed("--bootstrap-expect 3", "bootstrap_expect: %d servers cannot make a cluster", s.BootstrapExpect)
	}
	if err := checkNoAuth(s.HTTP, s.InsecureNoAuth); err != nil {
		return err
	}
	if (!loopback(s.Peer) || !loopback(s.Gossip)) && s.GossipKeyFile == "" && !s.Insecure {
		return failed("--gossip-key-file KEY with 64 hex digits (openssl rand -hex 32 makes them), or --insecure on a network that is yours",
			"peer %s and gossip %s can be reached from other machines without a key", s.Peer, s.Gossip)
	}
	return nil
}

// checkNoAuth refuses a door that would be open to other machines.
func checkNoAuth(http string, noAuth bool) error {
	if !noAuth || loopback(http) {
		return nil
	}
	return failed("--http 127.0.0.1:7700, or leave --insecure-no-auth out and use tokens (hoist token bootstrap)",
		"--insecure-no-auth lets everybody in without a token, and %s can be reached from other machines", http)
}

// loopback says whether only this machine can reach the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check", Short: "Check the settings of a server and show where each comes from",
		Example: "  hoist config check --config hoist.yaml\n  HOIST_SERVER__HTTP=127.0.0.1:8800 hoist config check", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, origin, err := loadSettings(cmd)
			if err != nil {
				return err
			}
			if s.GossipKeyFile != "" {
				if _, err := s.gossipKey(); err != nil {
					return err
				}
			}
			if _, err := readWebhooks(s.WebhooksFile); err != nil {
				return err
			}
			return a.showSettings(s, origin)
		},
	}
	settingsFlags(check.Flags())
	return noun("config", "Check settings", "  hoist config check --config hoist.yaml", nil, a.printing(check, "table", "json", "yaml"))
}

func (a *app) showSettings(s settings, origin map[string]string) error {
	values := s.values()
	if a.output != "table" {
		return a.showJSON(values)
	}
	v := view{header: []string{"SETTING", "VALUE", "FROM"}}
	for _, o := range serverOptions() {
		v.rows = append(v.rows, []string{o.key, fmt.Sprint(values[o.key]), origin[o.key]})
	}
	return a.show(v)
}

// values lists the settings by key; secrets are files, so there is nothing to hide.
func (s *settings) values() map[string]any {
	return map[string]any{
		"http": s.HTTP, "peer": s.Peer, "gossip": s.Gossip,
		"http_advertise": s.HTTPAdvertise, "peer_advertise": s.PeerAdvertise, "gossip_advertise": s.GossipAdvertise,
		"data_dir": s.DataDir, "log_store": s.LogStore, "node_name": s.NodeName, "cluster_name": s.ClusterName, "join": s.Join,
		"bootstrap_expect": s.BootstrapExpect, "profile": s.Profile, "gossip_key_file": s.GossipKeyFile, "webhooks_file": s.WebhooksFile,
		"insecure": s.Insecure, "insecure_no_auth": s.InsecureNoAuth, "log_level": s.LogLevel,
		"disk_reserve": s.DiskReserve, "disk_ballast": s.DiskBallast, "dial_via": s.DialVia,
	}
}
