package fsm

import "github.com/hoistflags/hoist/evaluator"

// Command is one change of the state; the set is sealed. Commands are values, not pointers.
type Command interface {
	Verb() string   // e.g. "flag.put", the name in audit rows and rights
	target() Target // what it touches
}

// Target names what a command touches; the parts a command does not have are empty.
type Target struct {
	Tenant      string
	Environment string
	Object      ObjectKind
	Key         string
}

// ObjectKind tells the kinds of things apart that have a key, a revision and a history.
type ObjectKind string

// The kinds of objects. Only flags and segments have a history.
const (
	ObjectFlag        ObjectKind = "flag"
	ObjectSegment     ObjectKind = "segment"
	ObjectEnvironment ObjectKind = "environment"
	ObjectTenant      ObjectKind = "tenant"
)

// Scope is where a command acts.
type Scope struct {
	Tenant      string `json:"tenant,omitempty"`
	Environment string `json:"environment,omitempty"`
}

// The commands people and doors send.
type (
	// CreateTenant makes a tenant with the environments every fresh tenant has.
	CreateTenant struct {
		Tenant string `json:"tenant"`
		Name   string `json:"name,omitempty"`
	}
	// CreateEnvironment adds an environment behind the existing ones of a tenant.
	CreateEnvironment struct {
		Tenant      string `json:"tenant"`
		Environment string `json:"environment"`
		Name        string `json:"name,omitempty"`
	}
	// PutFlag creates or replaces a flag. Salts and ranges that it does not give are carried over from the stored flag.
	PutFlag struct {
		Scope
		Flag *evaluator.Flag `json:"flag"`
	}
	// DeleteFlag removes a flag that nothing refers to, and its exposures.
	DeleteFlag struct {
		Scope
		Key string `json:"key"`
	}
	// SetEnabled turns targeting on or off.
	SetEnabled struct {
		Scope
		Key     string `json:"key"`
		Enabled bool   `json:"enabled"`
	}
	// SetArchived keeps a flag but stops serving it, or brings it back.
	SetArchived struct {
		Scope
		Key      string `json:"key"`
		Archived bool   `json:"archived"`
	}
	// Kill makes a flag serve its off variant whatever its declaration says, until Unkill.
	Kill struct {
		Scope
		Key    string `json:"key"`
		Reason string `json:"reason,omitempty"`
	}
	// Unkill takes the kill switch away; the flag serves its declaration again.
	Unkill struct {
		Scope
		Key string `json:"key"`
	}
	// PutSegment creates or replaces a segment.
	PutSegment struct {
		Scope
		Segment *evaluator.Segment `json:"segment"`
	}
	// DeleteSegment removes a segment that nothing refers to.
	DeleteSegment struct {
		Scope
		Key string `json:"key"`
	}
	// Restore writes an older version of a flag or segment again, as a new version. Revision is that of the change
	// that made the version (see Environment.History).
	Restore struct {
		Scope
		Object   ObjectKind `json:"object"`
		Key      string     `json:"key"`
		Revision uint64     `json:"revision"`
	}
	// Batch is atomic: all or nothing, at one revision. References are judged after the last command, so the order
	// matters only for commands on the same key. Commands with an empty Scope act in the batch's.
	//
	// Since, unless it is 0, is the revision that the commands were made from: what they change and somebody else has
	// changed after it is a conflict that names the object.
	Batch struct {
		Scope
		Since    uint64    `json:"since,omitzero"`
		Commands []Command `json:"-"`
	}
	// Stage carries one part of a write that is larger than a log entry; Split makes it. It holds whole commands, or a
	// Fragment of the encoding of one command that alone is too large; Last marks that command's last fragment.
	Stage struct {
		Scope
		Change   string    `json:"change"`
		Part     int       `json:"part"` // from 0
		Commands []Command `json:"-"`
		Fragment []byte    `json:"fragment,omitempty"`
		Last     bool      `json:"last,omitempty"`
	}
	// Commit makes a staged change happen, atomically, like a Batch.
	Commit struct {
		Scope
		Change string `json:"change"`
		Parts  int    `json:"parts"`
		Hash   string `json:"hash"`           // SHA-256 over the encodings of the stages in order, hex
		Since  uint64 `json:"since,omitzero"` // as of a Batch
	}
)

// The commands the cluster itself sends; only an Actor of kind "system" may.
type (
	// LeaderEstablished is the first entry of every leadership; the first ever names the cluster and begins the epoch.
	LeaderEstablished struct {
		Term      uint64 `json:"term"`
		ServerID  string `json:"serverId"`
		ClusterID string `json:"clusterId,omitempty"` // taken only by a state that has none
		Epoch     string `json:"epoch,omitempty"`     // likewise
		LawLow    int    `json:"lawLow"`
		LawHigh   int    `json:"lawHigh"`
	}
	// RaiseVersion puts newer law in force. It never lowers.
	RaiseVersion struct {
		Version int `json:"version"`
	}
	// Checksum tells every node the leader's full hash at an index divisible by 4,096.
	Checksum struct {
		Index uint64 `json:"index"`
		Hash  string `json:"hash"`
	}
)

// The verbs.
const (
	verbCreateTenant      = "tenant.create"
	verbCreateEnvironment = "environment.create"
	verbPutFlag           = "flag.put"
	verbDeleteFlag        = "flag.delete"
	verbEnable            = "flag.enable"
	verbDisable           = "flag.disable"
	verbArchive           = "flag.archive"
	verbUnarchive         = "flag.unarchive"
	verbKill              = "flag.kill"
	verbUnkill            = "flag.unkill"
	verbPutSegment        = "segment.put"
	verbDeleteSegment     = "segment.delete"
	verbRestoreFlag       = "flag.restore"
	verbRestoreSegment    = "segment.restore"
	verbBatch             = "batch.apply"
	verbStage             = "change.stage"
	verbCommit            = "change.commit"
	verbLeader            = "leader.establish"
	verbRaiseVersion      = "version.raise"
	verbChecksum          = "state.checksum"
)

// Verb names the change for audit rows and rights.
func (CreateTenant) Verb() string { return verbCreateTenant }

// Verb names the change for audit rows and rights.
func (CreateEnvironment) Verb() string { return verbCreateEnvironment }

// Verb names the change for audit rows and rights.
func (PutFlag) Verb() string { return verbPutFlag }

// Verb names the change for audit rows and rights.
func (DeleteFlag) Verb() string { return verbDeleteFlag }

// Verb names the change for audit rows and rights.
func (c SetEnabled) Verb() string { return either(c.Enabled, verbEnable, verbDisable) }

// Verb names the change for audit rows and rights.
func (c SetArchived) Verb() string { return either(c.Archived, verbArchive, verbUnarchive) }

// Verb names the change for audit rows and rights.
func (Kill) Verb() string { return verbKill }

// Verb names the change for audit rows and rights.
func (Unkill) Verb() string { return verbUnkill }

// Verb names the change for audit rows and rights.
func (PutSegment) Verb() string { return verbPutSegment }

// Verb names the change for audit rows and rights.
func (DeleteSegment) Verb() string { return verbDeleteSegment }

// Verb names the change for audit rows and rights.
func (c Restore) Verb() string {
	return either(c.Object == ObjectSegment, verbRestoreSegment, verbRestoreFlag)
}

// Verb names the change for audit rows and rights.
func (Batch) Verb() string { return verbBatch }

// Verb names the change for audit rows and rights.
func (Stage) Verb() string { return verbStage }

// Verb names the change for audit rows and rights.
func (Commit) Verb() string { return verbCommit }

// Verb names the change for audit rows and rights.
func (LeaderEstablished) Verb() string { return verbLeader }

// Verb names the change for audit rows and rights.
func (RaiseVersion) Verb() string { return verbRaiseVersion }

// Verb names the change for audit rows and rights.
func (Checksum) Verb() string { return verbChecksum }

func either(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func (s Scope) object(kind ObjectKind, key string) Target {
	return Target{Tenant: s.Tenant, Environment: s.Environment, Object: kind, Key: key}
}

func (c CreateTenant) target() Target {
	return Target{Tenant: c.Tenant, Object: ObjectTenant, Key: c.Tenant}
}
func (c CreateEnvironment) target() Target {
	return Scope{c.Tenant, c.Environment}.object(ObjectEnvironment, c.Environment)
}
func (c PutFlag) target() Target           { return c.object(ObjectFlag, keyOf(c.Flag)) }
func (c DeleteFlag) target() Target        { return c.object(ObjectFlag, c.Key) }
func (c SetEnabled) target() Target        { return c.object(ObjectFlag, c.Key) }
func (c SetArchived) target() Target       { return c.object(ObjectFlag, c.Key) }
func (c Kill) target() Target              { return c.object(ObjectFlag, c.Key) }
func (c Unkill) target() Target            { return c.object(ObjectFlag, c.Key) }
func (c PutSegment) target() Target        { return c.object(ObjectSegment, segmentKeyOf(c.Segment)) }
func (c DeleteSegment) target() Target     { return c.object(ObjectSegment, c.Key) }
func (c Restore) target() Target           { return c.object(c.Object, c.Key) }
func (c Batch) target() Target             { return c.object(ObjectEnvironment, c.Environment) }
func (c Stage) target() Target             { return c.object(ObjectEnvironment, c.Environment) }
func (c Commit) target() Target            { return c.object(ObjectEnvironment, c.Environment) }
func (c LeaderEstablished) target() Target { return Target{} }
func (c RaiseVersion) target() Target      { return Target{} }
func (c Checksum) target() Target          { return Target{} }

func keyOf(f *evaluator.Flag) string {
	if f == nil {
		return ""
	}
	return f.Key
}

func segmentKeyOf(s *evaluator.Segment) string {
	if s == nil {
		return ""
	}
	return s.Key
}

// String reads like `flag "checkout" in default/dev`.
func (t Target) String() string {
	switch {
	case t.Object == "":
		return "the cluster"
	case t.Object == ObjectTenant:
		return `tenant "` + t.Key + `"`
	case t.Object == ObjectToken:
		return `token "` + t.Key + `" of tenant "` + t.Tenant + `"`
	case t.Object == ObjectEnvironment:
		return "environment " + t.Tenant + "/" + t.Environment
	}
	return string(t.Object) + ` "` + t.Key + `" in ` + t.Tenant + "/" + t.Environment
}
