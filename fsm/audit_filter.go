package fsm

import "strings"

// AuditFilter says which rows of the change log somebody wants to see. Empty members leave nothing out, but for Tenant:
// rows of other tenants are never seen; those without a tenant are about the cluster and everybody's.
type AuditFilter struct {
	Tenant      string
	Environment string
	Target      string // whole, such as flag/checkout
	KeyPattern  string // of the target's key; see MatchKey
	User        string // id or email of the acting person, or owner of the token
	Correlation string
	Verb        string
	From, Until int64  // leader time, unix ms: From <= time < Until; 0: open
	Below       uint64 // only rows of older revisions; 0: any
}

// Matches tells whether the row is wanted.
func (f *AuditFilter) Matches(row *Audit) bool {
	_, key, _ := strings.Cut(row.Target, "/")
	is := func(want, have string) bool { return want == "" || want == have }
	return (row.Tenant == "" || row.Tenant == f.Tenant) &&
		is(f.Environment, row.Environment) && is(f.Target, row.Target) && is(f.Correlation, row.Correlation) && is(f.Verb, row.Verb) &&
		(f.User == "" || f.User == row.Actor.ID || f.User == row.Actor.Email || f.User == row.Actor.Owner) &&
		(f.Below == 0 || row.Index < f.Below) && f.From <= row.At && (f.Until == 0 || row.At < f.Until) && MatchKey(f.KeyPattern, key)
}

// AuditFinding is something that is wrong with the rows that a node keeps.
type AuditFinding struct {
	Seq   uint64 // the row, or the first of those that are missing
	Where string // the file, or "state"
	Why   string
}

// AuditReport says what somebody found who read rows and followed the chain.
type AuditReport struct {
	Rows        uint64 // read and in order
	First, Last uint64 // numbers of the first and last that were read
	Hash        string // of the last one
	Findings    []AuditFinding
}

// MatchKey tells whether a key matches a pattern: * is any run of characters, ? one, everything else stands for itself. No
// pattern matches everything. It never goes back further than the last star, so that no pattern is slow.
func MatchKey(pattern, key string) bool {
	if pattern == "" {
		return true
	}
	p, k, star, mark := 0, 0, -1, 0
	for k < len(key) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark, p = p, k, p+1
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == key[k]):
			p, k = p+1, k+1
		case star >= 0:
			mark++
			p, k = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
