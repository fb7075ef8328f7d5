package prometheus_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/rollout"
	"github.com/hoistflags/hoist/rollout/prometheus"
)

// A real Prometheus on loopback scrapes counters by cohort; the ratio of the poisoned cohort is not diluted by the other
// (S3-04).
func TestRealPrometheusSeesOneCohort(t *testing.T) {
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("there is no prometheus on this machine; .ci/run installs Debian's")
	}
	requests := 0
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		for variant, share := range map[string]int{"on": 10, "off": 90} {
			failed := 0
			if variant == "on" {
				failed = share * requests
			}
			fmt.Fprintf(w, "http_requests_total{hoist_flag=\"f\",hoist_variant=%q,code=\"500\"} %d\n", variant, failed)
			fmt.Fprintf(w, "http_requests_total{hoist_flag=\"f\",hoist_variant=%q,code=\"200\"} %d\n", variant, share*requests-failed)
		}
	}))
	defer app.Close()
	address := start(t, binary, app.Listener.Addr().String())
	source := prometheus.New()
	ratio := func(selector string) (float64, bool) {
		text := fmt.Sprintf(`sum(increase(http_requests_total{%scode=~"5.."}[10s])) / sum(increase(http_requests_total{%s}[10s]))`, selector+",", selector)
		got, err := source.Query(t.Context(), rollout.Query{Address: address, Text: text})
		if err != nil {
			return 0, false
		}
		list, _ := got.Value.([]float64)
		if len(list) != 1 || list[0] != list[0] {
			return 0, false
		}
		return list[0], true
	}
	require.Eventually(t, func() bool { _, ok := ratio(`hoist_flag="f"`); return ok }, 30*time.Second, 200*time.Millisecond)
	candidate, ok := ratio(`hoist_flag="f",hoist_variant="on"`)
	require.True(t, ok)
	require.InDelta(t, 1.0, candidate, 0.05)
	all, _ := ratio(`hoist_flag="f"`)
	require.InDelta(t, 0.1, all, 0.05, "over everybody the poison is diluted")
	nothing, err := source.Query(t.Context(), rollout.Query{Address: address, Text: `http_requests_total{hoist_flag="unknown"}`})
	require.NoError(t, err)
	require.Empty(t, nothing.Value)
	_, err = source.Query(t.Context(), rollout.Query{Address: address, Text: `rate(`})
	require.ErrorContains(t, err, "parse error")
}

func start(t *testing.T, binary, target string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "scrape_configs:\n  - job_name: app\n    scrape_interval: 1s\n    static_configs: [{targets: [%q]}]\n", target), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	command := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=error")
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		require.NoError(t, command.Process.Kill())
		_ = command.Wait() // it was killed
	})
	return "http://" + address
}
