package chaos

func checkRollouts(r *replayed) []Violation { return nil }
