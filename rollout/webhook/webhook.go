// Package webhook delivers notices to HTTP receivers, signed.
//
// Invariant: a receiver is known by its name; its address and its secret stand in a file of the servers and nowhere else,
// so neither a plan nor the log nor an error ever holds them. Redirects are not followed: what is signed for one receiver
// must not travel on. Only a 2xx answer is a delivery. Bodies and signatures follow the Standard Webhooks scheme, so that
// its libraries can check them (https://www.standardwebhooks.com).
//
//	book, err := webhook.Open("webhooks.yaml") // releases: {url: https://…, secret_file: /etc/hoist/releases.secret}
//	if err == nil {
//		err = book.Deliver(ctx, notice)
//	}
//	ok := webhook.Verify(secrets, header, body, time.Now()) // on the other side
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// Book knows the receivers of a server. It is a rollout.Messenger, safe for concurrent use.
type Book struct {
	receivers map[string]receiver
	client    *http.Client
}

// receiver is one entry of the file.
type receiver struct {
	URL        string `yaml:"url"`
	SecretFile string `yaml:"secret_file"`
	SecretEnv  string `yaml:"secret_env"`
}

// Parse reads the file of receivers, strictly. Each has a url and either secret_file or secret_env.
func Parse(document []byte) (*Book, error) {
	b := &Book{receivers: map[string]receiver{}, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 5 * time.Second,
			ResponseHeaderTimeout: 10 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if len(bytes.TrimSpace(document)) == 0 {
		return b, nil
	}
	if err := yaml.Load(document, &b.receivers, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("receivers of notices: %w", err)
	}
	for _, name := range b.Names() {
		r := b.receivers[name]
		at, err := url.Parse(r.URL)
		switch {
		case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
			return nil, fmt.Errorf("receiver %s: url must be an http or https address", name)
		case (r.SecretFile == "") == (r.SecretEnv == ""):
			return nil, fmt.Errorf("receiver %s: give secret_file or secret_env, one of them; an unsigned notice could come from anybody", name)
		}
		if _, err := r.secrets(); err != nil {
			return nil, fmt.Errorf("receiver %s: %w", name, err)
		}
	}
	return b, nil
}

// Names lists the receivers, sorted; none for no book.
func (b *Book) Names() []string {
	var names []string
	if b == nil {
		return nil
	}
	for name := range b.receivers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Deliver posts the notice to its receiver.
func (b *Book) Deliver(ctx context.Context, n *fsm.Notice) error {
	r, ok := b.receivers[n.To]
	if !ok {
		return errors.New("the leader's file of webhooks does not name the receiver")
	}
	secrets, err := r.secrets()
	if err != nil {
		return err
	}
	body, err := Body(n)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("its url does not make a request")
	}
	sent := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "hoist")
	request.Header.Set(HeaderID, n.ID)
	request.Header.Set(HeaderTimestamp, sent)
	request.Header.Set(HeaderSignature, sign(secrets, n.ID, sent, body))
	return b.post(request)
}

// post judges the answer. What a receiver says about the content of a notice is final; everything else may pass.
func (b *Book) post(request *http.Request) (err error) {
	response, err := b.client.Do(request)
	if err != nil {
		var outer *url.Error // it names the address, which may hold a secret of its own
		if errors.As(err, &outer) {
			return outer.Err
		}
		return errors.New("the request failed")
	}
	defer func() {
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection is used again
		err = errors.Join(err, response.Body.Close())
	}()
	switch code := response.StatusCode; {
	case code/100 == 2:
		return nil
	case code/100 == 3:
		return fmt.Errorf("it answers %d, a redirect, which is not followed", code)
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge || code == http.StatusUnsupportedMediaType ||
		code == http.StatusUnprocessableEntity:
		return fmt.Errorf("it answers %d: %w", code, rollout.ErrRefused)
	default:
		return fmt.Errorf("it answers %d", code)
	}
}
