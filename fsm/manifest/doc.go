// Package manifest is flags as code: it reads the flags, segments and schedules of YAML files, writes them, and says in words how
// two contents differ.
//
// The invariant: Export gives the same bytes for what Parse read from them. There is one strict decoder, that of the
// evaluator; this package only turns YAML into the JSON it takes, and its complaints into file and line. Nothing is
// half read: what has a finding of severity "error" is left out of the content, and the caller applies nothing.
//
//	sources, err := manifest.Files(os.DirFS("flags"), ".")
//	content, findings := manifest.Parse(sources...)
//	if findings.Failed() {
//		return errors.New(findings.String())
//	}
//	commands := fsm.Diff(scope, environment, content, false)
package manifest
