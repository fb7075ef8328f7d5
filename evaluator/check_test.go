package evaluator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

// problems lists what is refused as "field code".
func problems(p evaluator.Problems) []string {
	list := []string{}
	for _, one := range p {
		list = append(list, one.Field+" "+one.Code)
	}
	return list
}

func clauseFlag(clause string) string { return ruleFlag("f", clause) }

func splitFlag(split string) string {
	return `{"key":"f",` + onOff + `,"default":{"split":{` + split + `}}}`
}

const evenWeights = `"weights":[{"variant":"on","weight":50000},{"variant":"off","weight":50000}]`

func TestFlagsAreRefusedWithTheirPlace(t *testing.T) {
	flag := func(more string) string { return `{"key":"f",` + onOff + `,"default":{"variant":"on"},` + more + `}` }
	kind := func(kind, variants string) string {
		return `{"key":"f","type":"` + kind + `","variants":[` + variants + `],"default":{"variant":"a"}}`
	}
	repeat := func(n int, what func(i int) string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = what(i)
		}
		return strings.Join(list, ",")
	}
	deep := strings.Repeat(`{"a":`, 31) + `{}` + strings.Repeat("}", 31)
	for _, c := range []struct{ name, text, want string }{
		{"key with a slash", strings.Replace(flag(`"owner":"x"`), `"key":"f"`, `"key":"a/b"`, 1), "/key flag.key"},
		{"no key", strings.Replace(flag(`"owner":"x"`), `"key":"f"`, `"key":""`, 1), "/key flag.key"},
		{"long key", strings.Replace(flag(`"owner":"x"`), `"key":"f"`, `"key":"`+strings.Repeat("k", 129)+`"`, 1), "/key flag.key"},
		{"unknown kind", flag(`"kind":"toggle"`), "/kind flag.kind"},
		{"unknown type", `{"key":"f","type":"int","variants":[{"key":"a"}],"default":{"variant":"a"}}`, "/type flag.type"},
		{"control character in the name", flag(`"name":"a\u0007"`), "/name flag.text"},
		{"bidi override in the owner", flag(`"owner":"\u202ecod"`), "/owner flag.text"},
		{"new line in a tag", flag(`"tags":["ok","a\nb"]`), "/tags/1 flag.text"},
		{"metadata of the server", flag(`"metadata":{"hoist.revision":1}`), "/metadata/hoist.revision flag.metadata.reserved"},
		{"metadata with an object", flag(`"metadata":{"a":{}}`), "/metadata/a flag.metadata.type"},
		{"metadata beyond float64", flag(`"metadata":{"a":9007199254740993}`), "/metadata/a flag.value.number"},
		{"temporary without a date (S4-11)", flag(`"temporary":true`), "/expires flag.expires.missing"},
		{"expires is no date", flag(`"expires":"soon"`), "/expires flag.expires"},
		{"value of a flag", flag(`"value":true`), "/value flag.value"},
		{"unknown off variant", strings.Replace(flag(`"owner":"x"`), `"off":"off"`, `"off":"none"`, 1), "/off flag.variant.unknown"},
		{"no default", `{"key":"f",` + onOff + `}`, "/default flag.default.missing"},
		{"no variants", `{"key":"f","type":"string","default":{"variant":"a"}}`, "/variants flag.variants.missing /default/variant flag.variant.unknown"},
		{"variant twice", kind("string", `{"key":"a"},{"key":"a"}`), "/variants/1/key flag.variants.duplicate"},
		{"65 variants", kind("string", `{"key":"a"},`+repeat(64, func(i int) string { return fmt.Sprintf(`{"key":"v%d"}`, i) })), "/variants flag.variants.many"},
		{"variant of another type", kind("string", `{"key":"a","value":1}`), "/variants/0/value flag.value.type"},
		{"list for an object", kind("object", `{"key":"a","value":[1]}`), "/variants/0/value flag.value.type"},
		{"integer beyond 2^53-1", kind("number", `{"key":"a","value":9007199254740992}`), "/variants/0/value flag.value.number"},
		{"integer beyond 2^53-1 inside", kind("object", `{"key":"a","value":{"x":[9007199254740993]}}`), "/variants/0/value flag.value.number"},
		{"large value", kind("string", `{"key":"a","value":"`+strings.Repeat("x", 64<<10)+`"}`), "/variants/0/value flag.value.size"},
		{"two true variants", `{"key":"f","type":"boolean","variants":[{"key":"a","value":true},{"key":"b","value":true}],"default":{"variant":"a"}}`, "/variants flag.variants.boolean"},
		{"config without value", `{"key":"f","kind":"config","type":"string"}`, "/value flag.value.missing"},
		{"config with rules", `{"key":"f","kind":"config","type":"string","value":"x","enabled":true,"off":"a","variants":[{"key":"a"}]}`, "/enabled flag.config /variants flag.config /off flag.config"},
		{"config of another type", `{"key":"f","kind":"config","type":"number","value":"x"}`, "/value flag.value.type"},
		{"neither variant nor split", `{"key":"f",` + onOff + `,"default":{}}`, "/default flag.serve.missing"},
		{"both variant and split", `{"key":"f",` + onOff + `,"default":{"variant":"on","split":{` + evenWeights + `}}}`, "/default flag.serve.both"},
		{"weights sum", splitFlag(`"weights":[{"variant":"on","weight":50000}]`), "/default/split/weights flag.weights.sum"},
		{"no weights", splitFlag(`"weights":[]`), "/default/split/weights flag.weights.sum"},
		{"negative weight", splitFlag(`"weights":[{"variant":"on","weight":-1},{"variant":"off","weight":100001}]`), "/default/split/weights/0/weight flag.weights.range /default/split/weights/1/weight flag.weights.range"},
		{"weight twice", splitFlag(`"weights":[{"variant":"on","weight":50000},{"variant":"on","weight":50000}]`), "/default/split/weights/1/variant flag.weights.duplicate"},
		{"weight of an unknown variant", splitFlag(`"weights":[{"variant":"blue","weight":100000}]`), "/default/split/weights/0/variant flag.variant.unknown"},
		{"unknown hash", splitFlag(`"hash":"crc","` + evenWeights[1:]), "/default/split/hash flag.split.hash"},
		{"unknown missing variant", splitFlag(`"missing":"blue","` + evenWeights[1:]), "/default/split/missing flag.variant.unknown"},
		{"ranges with a gap", splitFlag(evenWeights + `,"ranges":[{"variant":"on","from":0,"to":2147483648},{"variant":"off","from":2147483649,"to":4294967296}]`), "/default/split/ranges flag.ranges.cover"},
		{"ranges that overlap", splitFlag(evenWeights + `,"ranges":[{"variant":"on","from":0,"to":2147483648},{"variant":"off","from":2147483647,"to":4294967296}]`), "/default/split/ranges flag.ranges.cover"},
		{"ranges that end early", splitFlag(evenWeights + `,"ranges":[{"variant":"on","from":0,"to":2147483648},{"variant":"off","from":2147483648,"to":4294967295}]`), "/default/split/ranges flag.ranges.cover"},
		{"ranges of other sizes", splitFlag(evenWeights + `,"ranges":[{"variant":"on","from":0,"to":1147483648},{"variant":"off","from":1147483648,"to":4294967296}]`), "/default/split/ranges flag.ranges.size /default/split/ranges flag.ranges.size"},
		{"range of a variant without weight", splitFlag(`"weights":[{"variant":"on","weight":100000}],"ranges":[{"variant":"off","from":0,"to":4294967296}]`), "/default/split/ranges/0/variant flag.ranges.variant"},
		{"range beyond the space", splitFlag(`"weights":[{"variant":"on","weight":100000}],"ranges":[{"variant":"on","from":0,"to":4294967297}]`), "/default/split/ranges/0 flag.ranges.order"},
		{"own prerequisite", flag(`"prerequisites":[{"flag":"f","variants":["on"]}]`), "/prerequisites/0/flag flag.prerequisites.self"},
		{"prerequisite without variants", flag(`"prerequisites":[{"flag":"g","variants":[]}]`), "/prerequisites/0/variants flag.prerequisites.variants"},
		{"17 prerequisites", flag(`"prerequisites":[` + repeat(17, func(i int) string { return fmt.Sprintf(`{"flag":"g%d","variants":["on"]}`, i) }) + `]`), "/prerequisites flag.prerequisites.many"},
		{"rule id twice", flag(`"rules":[{"id":"r","then":{"variant":"on"}},{"id":"r","then":{"variant":"on"}}]`), "/rules/1/id flag.rules.duplicate"},
		{"rule without id", flag(`"rules":[{"id":"","then":{"variant":"on"}}]`), "/rules/0/id flag.key"},
		{"65 rules", flag(`"rules":[` + repeat(65, func(i int) string { return fmt.Sprintf(`{"id":"r%d","then":{"variant":"on"}}`, i) }) + `]`), "/rules flag.rules.many"},
		{"33 clauses", clauseFlag(repeat(33, func(int) string { return `{"attribute":"a","operator":"exists"}` })), "/rules/0/if flag.clauses.many"},
		{"unknown operator", clauseFlag(`{"attribute":"a","operator":"eq","values":[1]}`), "/rules/0/if/0/operator flag.operator"},
		{"no attribute", clauseFlag(`{"operator":"in","values":[1]}`), "/rules/0/if/0/attribute flag.attribute.missing"},
		{"bad pointer", clauseFlag(`{"attribute":"/a~2","operator":"in","values":[1]}`), "/rules/0/if/0/attribute flag.attribute"},
		{"exists with values", clauseFlag(`{"attribute":"a","operator":"exists","values":[1]}`), "/rules/0/if/0/values flag.clause.field"},
		{"exists with ifMissing", clauseFlag(`{"attribute":"a","operator":"exists","ifMissing":true}`), "/rules/0/if/0/ifMissing flag.clause.field"},
		{"segment with an attribute", clauseFlag(`{"attribute":"a","operator":"segment","values":["s"]}`), "/rules/0/if/0/attribute flag.clause.field"},
		{"ignoreCase of numbers", clauseFlag(`{"attribute":"a","operator":"lt","values":[1],"ignoreCase":true}`), "/rules/0/if/0/ignoreCase flag.clause.field"},
		{"coerce of a prerequisite", clauseFlag(`{"attribute":"g","operator":"prerequisite","values":["on"],"coerce":true}`), "/rules/0/if/0/coerce flag.clause.field"},
		{"in with an object", clauseFlag(`{"attribute":"a","operator":"in","values":[{}]}`), "/rules/0/if/0/values/0 flag.value.type"},
		{"empty prefix", clauseFlag(`{"attribute":"a","operator":"starts-with","values":["x",""]}`), "/rules/0/if/0/values/1 flag.value.type"},
		{"number as text", clauseFlag(`{"attribute":"a","operator":"lt","values":["1"]}`), "/rules/0/if/0/values/0 flag.value.type"},
		{"date without zone", clauseFlag(`{"attribute":"a","operator":"before","values":["2026-01-01"]}`), "/rules/0/if/0/values/0 flag.value.date"},
		{"version with v", clauseFlag(`{"attribute":"a","operator":"semver-eq","values":["v1.0.0"]}`), "/rules/0/if/0/values/0 flag.value.version"},
		{"version of four parts", clauseFlag(`{"attribute":"a","operator":"semver-eq","values":["1.0.0.0"],"coerce":true}`), "/rules/0/if/0/values/0 flag.value.version"},
		{"mapped prefix", clauseFlag(`{"attribute":"a","operator":"cidr","values":["::ffff:10.0.0.0/104"]}`), "/rules/0/if/0/values/0 flag.value.cidr"},
		{"prefix too long", clauseFlag(`{"attribute":"a","operator":"cidr","values":["10.0.0.0/33"]}`), "/rules/0/if/0/values/0 flag.value.cidr"},
		{"look-ahead", clauseFlag(`{"attribute":"a","operator":"matches","values":["a(?=b)"]}`), "/rules/0/if/0/values/0 flag.pattern"},
		{"back-reference", clauseFlag(`{"attribute":"a","operator":"matches","values":["(a)\\1"]}`), "/rules/0/if/0/values/0 flag.pattern"},
		{"long pattern", clauseFlag(`{"attribute":"a","operator":"matches","values":["` + strings.Repeat("a", 257) + `"]}`), "/rules/0/if/0/values/0 flag.pattern.long"},
		{"costly pattern", clauseFlag(`{"attribute":"a","operator":"matches","values":["a{300}"]}`), "/rules/0/if/0/values/0 flag.pattern.cost"},
		{"five patterns", clauseFlag(`{"attribute":"a","operator":"matches","values":["a","b","c","d","e"]}`), "/rules/0/if/0/values/4 flag.patterns"},
		{"long value", clauseFlag(`{"attribute":"a","operator":"in","values":["` + strings.Repeat("a", 1025) + `"]}`), "/rules/0/if/0/values/0 flag.value.size"},
		{"10,001 values", clauseFlag(`{"attribute":"a","operator":"in","values":[` + strings.Repeat("1,", 10_000) + `1]}`), "/rules/0/if/0/values flag.values.many"},
		{"bad segment key", clauseFlag(`{"operator":"segment","values":["a b"]}`), "/rules/0/if/0/values/0 flag.key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := decodeFlag(t, c.text)
			require.Equal(t, c.want, strings.Join(problems(f.Check()), " "))
			_, err := evaluator.Compile(f)
			require.Equal(t, f.Check(), err, "Compile refuses what Check refuses")
			require.NotContains(t, err.Error(), "%!", "the message is well formed")
		})
	}
	require.Empty(t, decodeFlag(t, kind("object", `{"key":"a","value":`+deep+`}`)).Check(), "32 levels")
	require.Empty(t, decodeFlag(t, flag(`"temporary":true,"expires":"2026-12-31","metadata":{"a":1,"b":"x","c":true}`)).Check())
	require.Empty(t, decodeFlag(t, clauseFlag(`{"attribute":"a","operator":"in","values":[]}`)).Check(), "no values are allowed")
}

func TestSegmentsAreRefusedWithTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		`{"key":"s","include":["a","b"],"exclude":["b"]}`:                    "/exclude/0 segment.members.both",
		`{"key":"s","include":[""]}`:                                         "/include/0 segment.members.key",
		`{"key":"","by":"/"}`:                                                "/key segment.key /by segment.attribute",
		`{"key":"s","rules":[{"if":[{"operator":"in","values":["a"]}]}]}`:    "/rules/0/if/0/attribute segment.attribute.missing",
		`{"key":"s","include":["` + strings.Repeat("k", 513) + `"]}`:         "/include/0 segment.members.key",
		`{"key":"s","rules":[{"if":[{"attribute":"a","operator":"like"}]}]}`: "/rules/0/if/0/operator segment.operator",
	} {
		s, err := evaluator.DecodeSegment([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(problems(s.Check()), " "), text)
		_, err = evaluator.CompileSegment(s)
		require.Equal(t, s.Check(), err)
	}
}

func TestBodiesThatCannotBeReadSayWhere(t *testing.T) {
	for text, want := range map[string]string{
		`{"key":"f"`:                          " decode.syntax",
		`{"key":"f"} {}`:                      " decode.syntax",
		`{"key":"f","key":"g"}`:               "/key decode.duplicate",
		`{"key":"f","Enabled":true}`:          "/Enabled decode.unknown",
		`{"default":{"variant":"a","if":[]}}`: "/default/if decode.unknown",
		`{"enabled":"yes"}`:                   "/enabled decode.type",
		`{"default":{"split":{"weights":[{"variant":"a","weight":1.5}]}}}`: "/default/split/weights/0/weight decode.type",
		`{"variants":[{"key":"a","value":{"x":1,"x":2}}]}`:                 "/variants/0/value/x decode.duplicate",
		"{\"name\":\"\xff\"}": "/name decode.syntax",
		`[]`:                  " decode.type",
		`{"variants":[{"key":"a","value":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}]}`: "/variants/0/value decode.syntax",
	} {
		_, err := evaluator.DecodeFlag([]byte(text))
		var wrong evaluator.Problems
		require.ErrorAs(t, err, &wrong, text)
		require.True(t, wrong.Undecodable())
		require.Equal(t, want, strings.Join(problems(wrong), " "), "%s: %v", text, err)
	}
}

func TestLint(t *testing.T) {
	f := decodeFlag(t, `{"key":"f","type":"string","enabled":true,"temporary":true,"expires":"2026-05-01","off":"a","variants":[{"key":"a"},{"key":"b"},{"key":"c"}],
		"rules":[{"id":"one","then":{"variant":"a"}},{"id":"two","then":{"variant":"b"}}],"default":{"variant":"a"}}`)
	require.Equal(t, []string{"/rules/0/then lint.off-served", "/rules/1 lint.unreachable", "/variants/2 lint.unserved"}, problems(f.Lint()))
	require.Empty(t, f.LintExpiry(time.Date(2026, 5, 1, 23, 0, 0, 0, time.UTC)))
	require.Equal(t, []string{"/expires lint.expired"}, problems(f.LintExpiry(time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC))))
	segments := []*evaluator.Segment{{Key: "used"}, {Key: "unused"}}
	user := decodeFlag(t, clauseFlag(`{"operator":"segment","values":["used"]}`))
	require.Equal(t, []string{"unused"}, evaluator.UnusedSegments([]*evaluator.Flag{user}, segments))
}
