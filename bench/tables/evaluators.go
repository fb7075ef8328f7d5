package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// times are the ns of one evaluator on one question.
type times []float64

func (t times) median() float64 { return t[len(t)/2] }

func (t times) String() string {
	return fmt.Sprintf("%.0f (%.0f–%.0f)", t.median(), t[0], t[len(t)-1])
}

// passes is how often every benchmark runs. They run one after the other in each pass, so that a slow minute hits all alike.
const passes = 7

var result = regexp.MustCompile(`^BenchmarkEvaluate/([^/]+)/flags=(\d+)/([a-z]+)\S*\s+\d+\s+([\d.]+) ns/op`)

// evaluators measures BenchmarkEvaluate.
func evaluators() (string, error) {
	const arguments = "-run ^$ -bench Evaluate -benchtime 50ms"
	var questions []string
	found := map[string]times{}
	for range passes {
		out, err := exec.Command("go", append([]string{"test"}, strings.Fields(arguments)...)...).Output()
		if err != nil {
			return "", said(err)
		}
		for line := range strings.Lines(string(out)) {
			m := result.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			ns, err := strconv.ParseFloat(m[4], 64)
			if err != nil {
				return "", err
			}
			question := m[1] + " | " + m[2]
			if !slices.Contains(questions, question) {
				questions = append(questions, question)
			}
			found[question+m[3]] = append(found[question+m[3]], ns)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ns per evaluation: the median of %d passes, with the lowest and highest.\n\n", passes)
	b.WriteString("| question | flags | hoist | launchdarkly | growthbook | fastest other / hoist, lowest of each |\n|---|---|---|---|---|---|\n")
	for _, q := range questions {
		var each []times
		for _, who := range []string{"hoist", "launchdarkly", "growthbook"} {
			t := found[q+who]
			if len(t) == 0 {
				return "", fmt.Errorf("%s did not answer %s", who, q)
			}
			slices.Sort(t)
			each = append(each, t)
		}
		ratio := min(each[1][0], each[2][0]) / each[0][0]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.1f |\n", q, each[0], each[1], each[2], ratio)
	}
	return b.String(), nil
}
