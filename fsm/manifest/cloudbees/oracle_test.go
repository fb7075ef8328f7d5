package cloudbees

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// The oracle speaks of whole flags, so its test stands inside the package: it renders the imported flag, lifted back,
// in the words of whoever changed it.

type oracleRow struct {
	Path, Platform, YAML, Audience string
	Differs                        []string
}

// audience is one block of words: tests, and the shares or levels it gives.
type audience struct {
	tests  []string
	shares []string
}

// S2-04, S2-05, S2-07
func TestAudiencesAgreeWithWhatPeopleWrote(t *testing.T) {
	root := os.Getenv("HOIST_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared")
	}
	file, err := os.Open(filepath.Join(root, "data", "cloudbees", "oracle.jsonl"))
	if err != nil {
		t.Skipf("the real trees are not here: %v", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	rows, full := 0, 0
	for lines.Scan() {
		var row oracleRow
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		rows++
		if len(row.Differs) == 0 {
			full++
		}
		row.compare(t)
	}
	require.NoError(t, lines.Err())
	require.Equal(t, 998, rows)
	require.Equal(t, 818, full)
}

func (row oracleRow) compare(t *testing.T) {
	t.Helper()
	differs := func(marks ...string) bool {
		return slices.ContainsFunc(row.Differs, func(d string) bool {
			mark, _, _ := strings.Cut(d, " ") // a detail may follow
			return slices.Contains(marks, mark)
		})
	}
	if differs("platform-missing", "branches") {
		return
	}
	words, ours := parseAudience(row.Audience), row.audience(t)
	require.Len(t, ours, len(words), "%s %s %v\n%s", row.Platform, row.Audience, row.Differs, row.YAML)
	for i := range words {
		if !differs("value", "value-rounded") {
			require.Equal(t, words[i].shares, ours[i].shares, "%s\n%s", row.Audience, row.YAML)
		}
		switch {
		case differs("condition", "condition-extra"):
		case differs("text-omits-condition"):
			for _, test := range words[i].tests {
				require.Contains(t, ours[i].tests, test, "%s\n%s", row.Audience, row.YAML)
			}
		default:
			require.ElementsMatch(t, words[i].tests, ours[i].tests, "%s\n%s", row.Audience, row.YAML)
		}
	}
}

var (
	blockWords = regexp.MustCompile(`^(?:else )?if \((.*)\) (scheduled )?\{ (.*) \}$`)
	shareWords = regexp.MustCompile(`(?:^|, )(?:from \([^)]*\) \w+ => ([0-9.]+)%|([0-9.]+)% => )`)
)

// parseAudience reads the words: one block per line.
func parseAudience(text string) []audience {
	var out []audience
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		m := blockWords.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			m = []string{"", line, "", ""}
		}
		var a audience
		for _, test := range strings.Split(m[1], " && ") {
			if test = plainTest(test); test != "" {
				a.tests = append(a.tests, test)
			}
		}
		places := shareWords.FindAllStringSubmatchIndex(m[3], -1)
		for i, at := range places {
			end := len(m[3])
			if i+1 < len(places) {
				end = places[i+1][0]
			}
			if m[2] != "" {
				a.shares = append(a.shares, "level "+number(m[3][at[2]:at[3]]))
				continue
			}
			a.add(number(m[3][at[4]:at[5]]), m[3][at[1]:end])
		}
		slices.Sort(a.shares)
		if m[3] == "" || m[3] == " " {
			a.shares = []string{"100 => in code"}
		}
		out = append(out, a)
	}
	return out
}

func number(text string) string {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return percent(int(math.Round(f * 1000)))
}

func (a *audience) add(percentage, value string) {
	if value == "DEFAULT" || value == "__ROLLOUT_DEFAULT_TARGETING__" {
		value = "in code"
	}
	if percentage != "0" {
		a.shares = append(a.shares, percentage+" => "+value)
	}
}

// plainTest gives one spelling to what means the same, and "" to what always holds.
func plainTest(test string) string {
	switch test {
	case "", "All Versions", "All Users", "matches any of (All Users)", "matches any of ()":
		return ""
	}
	if rest, ok := strings.CutPrefix(test, "matches all of ("); ok && !strings.Contains(rest, ", ") {
		return "matches any of (" + rest
	}
	if at := strings.Index(test, ") == "); strings.HasPrefix(test, `property(`) && at > 0 {
		if operand := test[at+5:]; operand != "true" && operand != "false" {
			return test[:at+1] + " equals one of (" + operand + ")"
		}
	}
	return test
}

// audience renders what the file of the row came to.
func (row oracleRow) audience(t *testing.T) []audience {
	t.Helper()
	d := &document{file: row.Path}
	n, ok := d.parse([]byte(row.YAML))
	require.True(t, ok, "%v", d.findings)
	parsed := d.experiment(n, false)
	x := parsed
	if d.findings.Errors() == 0 {
		x = row.importAndLift(t, parsed)
	}
	b := x.root
	for _, p := range x.platforms {
		if p.name == row.Platform {
			b = p.branch
		}
	}
	var out []audience
	for _, c := range b.conditions {
		out = append(out, audience{tests: c.words(), shares: x.words(c.value)})
	}
	return append(out, audience{shares: x.words(b.value)})
}

// importAndLift imports the file beside stand-ins for what it refers to, and reads the flag back.
func (row oracleRow) importAndLift(t *testing.T, parsed *experiment) *experiment {
	t.Helper()
	var known fsm.Content
	seen := map[string]bool{}
	parsed.conditions(func(c *condition) {
		if c.group != nil {
			for _, name := range c.group.names {
				if !seen["group "+name] {
					seen["group "+name] = true
					known.Segments = append(known.Segments, &evaluator.Segment{Key: keyed(name), Annotations: map[string]string{annotationName: name}})
				}
			}
		}
		if c.dependency != nil && !seen["flag "+c.dependency.flag] {
			seen["flag "+c.dependency.flag] = true
			known.Flags = append(known.Flags, &evaluator.Flag{Key: keyed(c.dependency.flag), Type: evaluator.TypeString,
				Annotations: map[string]string{annotationName: c.dependency.flag}})
		}
		if c.dependency != nil {
			for _, f := range known.Flags {
				if flagName(f) == c.dependency.flag {
					text := evaluator.String(c.dependency.value)
					f.Variants = append(f.Variants, evaluator.Variant{Key: "v" + strconv.Itoa(len(f.Variants)+1), Value: &text})
				}
			}
		}
	})
	got := ImportFile("experiments/row.yml", []byte(row.YAML), Options{Known: &known})
	require.Zero(t, got.Findings.Errors(), "%v", got.Findings)
	require.Len(t, got.Content.Flags, 1)
	known.Flags = append(known.Flags, got.Content.Flags[0])
	known.Schedules = got.Content.Schedules
	x, err := newLifter(known, Options{}).experiment(got.Content.Flags[0])
	require.NoError(t, err, row.YAML)
	return x
}

func (c condition) words() []string {
	var out []string
	if c.version != nil {
		sign := map[string]string{"semver-gte": ">=", "semver-gt": ">", "semver-eq": "==", "semver-ne": "!=", "semver-lt": "<", "semver-lte": "<="}
		out = append(out, "Version "+sign[c.version.operator]+" "+c.version.operands[0].text)
	}
	if c.dependency != nil {
		out = append(out, "Flag("+c.dependency.flag+`) == "`+c.dependency.value+`"`)
	}
	if c.group != nil {
		gate := map[string]string{anyGroup: "any", allGroups: "all", noGroup: "none"}
		out = append(out, "matches "+gate[c.group.gate]+" of ("+strings.Join(c.group.names, ", ")+")")
	}
	if c.property != nil {
		for _, p := range c.property.list {
			out = append(out, p.words())
		}
	}
	return out
}

func (p predicate) words() string {
	var operands []string
	for _, s := range p.operands {
		operands = append(operands, s.text)
	}
	all := strings.Join(operands, ",")
	head := `property("` + p.property + `") `
	switch p.operator {
	case "is-true":
		return head + "== true"
	case "is-false":
		return head + "== false"
	case "is-undefined":
		return head + "is undefined"
	case "regex":
		return head + `match "` + all + `"`
	case "in-array":
		return head + "equals one of (" + all + ")"
	}
	sign := map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
	return head + sign[p.operator] + " " + all
}

func (x *experiment) words(v value) []string {
	a := audience{}
	switch v.kind {
	case noValue:
		if x.kind == evaluator.TypeBoolean {
			a.add("100", "false")
		} else {
			a.add("100", "in code")
		}
	case oneValue:
		a.add("100", v.one.text)
	case shareValue:
		for _, s := range v.shares {
			a.add(percent(s.percentage), s.option.text)
		}
		if x.kind == evaluator.TypeBoolean && len(v.shares) == 1 {
			a.add(percent(v.rest), strconv.FormatBool(!v.shares[0].option.isTrue()))
		}
	case levelValue:
		for _, l := range v.levels {
			a.shares = append(a.shares, "level "+percent(l.percentage))
		}
	}
	slices.Sort(a.shares)
	return a.shares
}
