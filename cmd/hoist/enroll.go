package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// enrolled are the tokens that dev and demo make for whoever tries hoist, one per kind of use.
type enrolled struct {
	Admin  string `yaml:"admin"`  // everything
	Server string `yaml:"server"` // evaluates all flags of dev
	Client string `yaml:"client"` // evaluates the client-visible flags of dev from a page of this machine
}

// lines are the tokens one per line; the second part of each says what it is for.
func (e *enrolled) lines() string { return e.Admin + "\n" + e.Server + "\n" + e.Client + "\n" }

// enroll makes the first token of a fresh cluster, and with it the others. It waits for a leader.
func enroll(ctx context.Context, w where) (*enrolled, error) {
	n, err := dial(w)
	if err != nil {
		return nil, err
	}
	patient := &app{timeout: 30 * time.Second, stderr: io.Discard, stdout: io.Discard}
	seed := newSeed()
	first, err := sendUntilLed(ctx, patient, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.TokenSecret, error) {
		return n.tokens.Bootstrap(ctx, &hoistv1.BootstrapTokenRequest{Seed: seed, Write: o})
	})
	if err != nil {
		return nil, err
	}
	out := &enrolled{Admin: first.GetSecret()}
	w.token = out.Admin
	if n, err = dial(w); err != nil {
		return nil, err
	}
	for into, request := range map[*string]*hoistv1.CreateTokenRequest{
		&out.Server: {Kind: "srv", Name: "a backend", Environments: []string{defaultEnvironment}, Seed: newSeed()},
		&out.Client: {Kind: "cli", Name: "a page of this machine", Environments: []string{defaultEnvironment}, Seed: newSeed(),
			Origins: []string{"http://localhost:*", "http://127.0.0.1:*"}},
	} {
		made, err := send(ctx, patient, &writing{comment: "made for trying hoist"}, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.TokenSecret, error) {
			request.Write = o
			return n.tokens.Create(ctx, request)
		})
		if err != nil {
			return nil, err
		}
		*into = made.GetSecret()
	}
	return out, nil
}

// newSeed is what a token is made of. It is the caller's, so that a retry of a lost answer gives the same token.
func newSeed() []byte {
	seed := make([]byte, 32)
	rand.Read(seed) // never fails: without randomness it ends the process
	return seed
}

// sendUntilLed is send for a cluster that has just been started: it also waits for the first leader.
func sendUntilLed[T answer](ctx context.Context, a *app, call func(context.Context, *hoistv1.WriteOptions) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	options := (&writing{}).options()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		done, err := call(ctx, options)
		if err == nil || asFailure(err).code != exitUnavailable && !worthRetrying(err) || !sleepUntil(ctx, time.Now().Add(pause)) {
			return done, err
		}
	}
}

// savedTokenPath is where dev and demo leave the token for a server on this machine, so that commands which name only the
// address find it.
func savedTokenPath(addr string) string {
	config := contextsPath()
	base, err := baseURL(addr)
	if config == "" || err != nil {
		return ""
	}
	u, err := url.Parse(base)
	if err != nil || !loopback(net.JoinHostPort(u.Hostname(), "0")) {
		return "" // a token is left, and sent, only where no other machine can answer
	}
	return filepath.Join(filepath.Dir(config), "tokens", strings.NewReplacer(":", "_", "localhost", "127.0.0.1").Replace(u.Host))
}

// saveToken leaves a token for the commands of this user until forget is called. Without a place for it they need
// HOIST_TOKEN, which whoever prints the token says anyway.
func saveToken(addr, token string) (forget func()) {
	path := savedTokenPath(addr)
	if path == "" || os.MkdirAll(filepath.Dir(path), 0o700) != nil || os.WriteFile(path, []byte(token+"\n"), 0o600) != nil {
		return func() {}
	}
	return func() {
		if data, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(data)) == token {
			_ = os.Remove(path) // a file that stays holds a token of a server that is gone
		}
	}
}

// savedToken reads what saveToken left; nothing when there is none.
func savedToken(addr string) string {
	path := savedTokenPath(addr)
	if path == "" {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// keptTokens are the tokens of a `hoist dev` that keeps its state: made at its first start, and read at the next.
func keptTokens(ctx context.Context, w where, dataDir string) (*enrolled, error) {
	path := filepath.Join(dataDir, "dev-tokens.yaml")
	data, err := os.ReadFile(path)
	if err == nil {
		kept := &enrolled{}
		if err := yaml.Load(data, kept, yaml.WithKnownFields()); err != nil {
			return nil, failed("correct the file", "%s: %v", path, err)
		}
		return kept, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, failed("", "the kept tokens cannot be read: %v", err)
	}
	made, err := enroll(ctx, w)
	if err != nil {
		return nil, err
	}
	if data, err = yaml.Dump(made); err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the tokens: %w", err)
	}
	return made, nil
}
