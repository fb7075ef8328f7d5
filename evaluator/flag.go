package evaluator

// Kind tells a feature flag from a remote configuration value.
type Kind string

// The kinds of a flag. An empty Kind means KindFlag.
const (
	KindFlag   Kind = "flag"
	KindConfig Kind = "config"
)

// Type is the type of every value a flag can serve. It never changes once the flag exists.
type Type string

// The value types.
const (
	TypeBoolean Type = "boolean"
	TypeString  Type = "string"
	TypeNumber  Type = "number"
	TypeObject  Type = "object"
)

// Flag is one flag as people write it: the manifest, the log record and the
// snapshot record all have this shape. Compile turns it into what Evaluate reads.
type Flag struct {
	Key           string            `json:"key"`
	Kind          Kind              `json:"kind,omitempty"`
	Type          Type              `json:"type"`
	Name          string            `json:"name,omitempty"`
	Description   string            `json:"description,omitempty"`
	Owner         string            `json:"owner,omitempty"`
	Tags          []string          `json:"tags,omitempty"`        // sorted, unique
	Annotations   map[string]string `json:"annotations,omitempty"` // source facts kept by importers
	Metadata      map[string]Value  `json:"metadata,omitempty"`    // boolean, string, number; sent with every answer
	Temporary     bool              `json:"temporary,omitzero"`    // needs Expires
	Expires       string            `json:"expires,omitempty"`     // RFC 3339 date; never read by Evaluate
	Archived      bool              `json:"archived,omitzero"`
	ClientVisible bool              `json:"clientVisible,omitzero"`
	Value         *Value            `json:"value,omitzero"`   // KindConfig only
	Enabled       bool              `json:"enabled,omitzero"` // a new flag is dark
	Variants      []Variant         `json:"variants,omitempty"`
	Off           string            `json:"off,omitempty"` // variant served when off; empty means no value
	Prerequisites []Prerequisite    `json:"prerequisites,omitempty"`
	Rules         []Rule            `json:"rules,omitempty"`  // the first match wins
	Default       *Serve            `json:"default,omitzero"` // served when no rule matches
}

// Variant is one named value of a flag. Without a Value the caller's own default is meant.
type Variant struct {
	Key   string `json:"key"`
	Value *Value `json:"value,omitzero"`
}

// Prerequisite demands that another flag is enabled and serves one of Variants.
type Prerequisite struct {
	Flag     string   `json:"flag"`
	Variants []string `json:"variants"`
}

// Rule serves Then to contexts for which every clause of If is true. An empty If always matches.
type Rule struct {
	ID          string   `json:"id"`
	Description string   `json:"description,omitempty"`
	If          []Clause `json:"if,omitempty"`
	Then        Serve    `json:"then"`
}

// Serve names a variant or a Split, exactly one of the two.
type Serve struct {
	Variant string `json:"variant,omitempty"`
	Split   *Split `json:"split,omitzero"`
	Label   string `json:"label,omitempty"` // opaque, copied to Result
}

// Split divides the bucketing keys between variants.
type Split struct {
	By      string   `json:"by,omitempty"`      // attribute holding the bucketing key; empty means targetingKey
	Salt    string   `json:"salt,omitempty"`    // stored at the first commit, then never derived again
	Hash    string   `json:"hash,omitempty"`    // empty means murmur3-32
	Missing string   `json:"missing,omitempty"` // variant for contexts without a bucketing key
	Weights []Weight `json:"weights"`
	Ranges  []Range  `json:"ranges,omitempty"` // in the order in which the pieces were received
}

// Weight is a variant's share in thousandths of a percent; the weights of a split sum to 100000.
type Weight struct {
	Variant string `json:"variant"`
	Weight  int    `json:"weight"`
}

// Range is the half-open piece [From, To) of the 2^32 hash space that a variant owns.
type Range struct {
	Variant string `json:"variant"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
	Down    bool   `json:"down,omitzero"` // the piece was filled from its upper end
}

// Clause compares one attribute of the context with Values.
type Clause struct {
	Attribute  string  `json:"attribute,omitempty"`
	Operator   string  `json:"operator"`
	Values     []Value `json:"values,omitempty"`
	Negate     bool    `json:"negate,omitzero"`
	IfMissing  bool    `json:"ifMissing,omitzero"`  // the result when the attribute is missing or unusable
	Coerce     bool    `json:"coerce,omitzero"`     // accept other spellings of the operator's type
	IgnoreCase bool    `json:"ignoreCase,omitzero"` // string operators only
}

// Segment is a named audience: two lists of keys, then rules of which one must match.
type Segment struct {
	Key         string            `json:"key"`
	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"` // source facts kept by importers
	By          string            `json:"by,omitempty"`          // attribute looked up in the lists; empty means targetingKey
	Include     []string          `json:"include,omitempty"`
	Exclude     []string          `json:"exclude,omitempty"`
	Rules       []SegmentRule     `json:"rules,omitempty"`
}

// SegmentRule matches when every clause of If is true.
type SegmentRule struct {
	If []Clause `json:"if"`
}
