package evaluator

// Check returns everything that can be judged about a segment without looking at others.
func (s *Segment) Check() Problems {
	c := checker{owner: "segment"}
	root := place{}
	c.key(root.at("key"), s.Key)
	c.line(root.at("name"), s.Name)
	c.prose(root.at("description"), s.Description, "\n\r\t")
	c.annotations(root.at("annotations"), s.Annotations)
	if s.By != "" {
		c.attribute(root.at("by"), s.By)
	}
	if len(s.Include)+len(s.Exclude) > maxMembers {
		c.add(root.at("include"), "members.many", "a segment lists at most %d keys", maxMembers)
	}
	included := c.members(root.at("include"), s.Include)
	c.members(root.at("exclude"), s.Exclude)
	exclude := root.at("exclude")
	for i, key := range s.Exclude {
		if included[key] {
			c.add(exclude.nth(i), "members.both", "%.80q is in both lists; remove it from one", key)
		}
	}
	if len(s.Rules) > maxRules {
		c.add(root.at("rules"), "rules.many", "a segment has at most %d rules", maxRules)
	}
	rules := root.at("rules")
	for i, r := range s.Rules {
		one := rules.nth(i)
		c.clauses(one.at("if"), r.If)
	}
	return c.problems
}

func (c *checker) members(at place, keys []string) map[string]bool {
	seen := make(map[string]bool, len(keys))
	for i, key := range keys {
		if key == "" || len(key) > maxMemberBytes {
			c.add(at.nth(i), "members.key", "a key is 1 to %d bytes", maxMemberBytes)
		}
		seen[key] = true
	}
	return seen
}
