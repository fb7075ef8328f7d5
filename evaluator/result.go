package evaluator

// Reason says why a variant was chosen. The values are those of OpenFeature, and PREREQUISITE_FAILED.
type Reason string

// The reasons.
const (
	ReasonStatic             Reason = "STATIC"              // the flag has neither rules nor prerequisites
	ReasonDefault            Reason = "DEFAULT"             // no rule matched
	ReasonTargetingMatch     Reason = "TARGETING_MATCH"     // a rule matched
	ReasonSplit              Reason = "SPLIT"               // a hash decided
	ReasonDisabled           Reason = "DISABLED"            // the flag is not enabled
	ReasonPrerequisiteFailed Reason = "PREREQUISITE_FAILED" // a prerequisite was not met
	ReasonError              Reason = "ERROR"               // ErrorCode says which
)

// ErrorCode is an OpenFeature error code; empty means success.
type ErrorCode string

// The error codes. Evaluate answers only the first three; typed getters and doors use the others.
const (
	ErrorFlagNotFound        ErrorCode = "FLAG_NOT_FOUND"
	ErrorTargetingKeyMissing ErrorCode = "TARGETING_KEY_MISSING"
	ErrorInvalidContext      ErrorCode = "INVALID_CONTEXT"
	ErrorTypeMismatch        ErrorCode = "TYPE_MISMATCH"
	ErrorParse               ErrorCode = "PARSE_ERROR"
	ErrorProviderNotReady    ErrorCode = "PROVIDER_NOT_READY"
	ErrorGeneral             ErrorCode = "GENERAL"
)

// LabelKill is the label of a Serve put there by the kill switch. A flag whose default carries it serves its off
// variant with reason STATIC and counts as not enabled for prerequisites.
const LabelKill = "kill"

// Result is the answer to one evaluation.
type Result struct {
	Value     Value     // what to serve; null unless HasValue
	HasValue  bool      // false means: the caller's own default
	Variant   string    // key of the variant, empty for configs and errors
	Reason    Reason    // always set
	RuleID    string    // the rule that decided, empty for the default
	Label     string    // what was put beside the serve that decided
	ErrorCode ErrorCode // empty on success
	Detail    string    // for ErrorInvalidContext: the attribute that is missing
	Revision  uint64    // of the snapshot that answered
}

// MarshalJSON writes the result as the API shows it: value, variant, reason, ruleId, label, errorCode and
// errorDetails, without what is empty. A missing value means the caller's own default.
func (r Result) MarshalJSON() ([]byte, error) {
	w := &record{}
	w.open('{')
	if r.HasValue {
		w.value("value", &r.Value)
	}
	w.text("variant", r.Variant, "")
	w.must("reason", string(r.Reason))
	w.text("ruleId", r.RuleID, "")
	w.text("label", r.Label, "")
	w.text("errorCode", string(r.ErrorCode), "")
	w.text("errorDetails", r.Detail, "")
	w.close('}')
	return w.b, nil
}
