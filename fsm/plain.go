package fsm

import (
	"bytes"
)

// The commands that name a flag and hardly anything else are most of a log, and every node reads each of them. Their
// encoding is the JSON that every command has; where it holds nothing but plain texts and truths, as it nearly always
// does, it is written and read here in a tenth of the time. Whatever else it may hold is left to the library.

// plain is what such a command consists of. has tells which members stand there.
type plain struct {
	Scope
	key, reason string
	truth       bool
	has         plainMember
}

// plainMember is a set of members.
type plainMember uint8

const (
	plainTenant plainMember = 1 << iota
	plainEnvironment
	plainKey
	plainEnabled
	plainArchived
	plainReason

	plainTarget = plainTenant | plainEnvironment | plainKey
)

func plainName(name []byte) plainMember {
	switch string(name) {
	case "tenant":
		return plainTenant
	case "environment":
		return plainEnvironment
	case "key":
		return plainKey
	case "enabled":
		return plainEnabled
	case "archived":
		return plainArchived
	case "reason":
		return plainReason
	}
	return 0
}

// decodePlain reads a command; false means that it has to be read the long way, which also knows what is wrong with it.
func decodePlain(number uint64, body []byte) (Command, bool) {
	allowed := plainTarget
	switch number {
	case typeSetEnabled:
		allowed |= plainEnabled
	case typeSetArchived:
		allowed |= plainArchived
	case typeKill:
		allowed |= plainReason
	case typeUnkill:
	default:
		return nil, false
	}
	var p plain
	if !p.read(body) || p.has&^allowed != 0 {
		return nil, false
	}
	switch number {
	case typeSetEnabled:
		return SetEnabled{Scope: p.Scope, Key: p.key, Enabled: p.truth}, true
	case typeSetArchived:
		return SetArchived{Scope: p.Scope, Key: p.key, Archived: p.truth}, true
	case typeKill:
		return Kill{Scope: p.Scope, Key: p.key, Reason: p.reason}, true
	}
	return Unkill{Scope: p.Scope, Key: p.key}, true
}

// read takes {"name":value,...} without spaces, each member at most once.
func (p *plain) read(b []byte) bool {
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return false
	}
	if b = b[1 : len(b)-1]; len(b) == 0 {
		return true
	}
	for {
		name, rest, ok := plainText(b)
		if !ok || len(rest) == 0 || rest[0] != ':' {
			return false
		}
		member := plainName(name)
		if member == 0 || p.has&member != 0 {
			return false
		}
		p.has |= member
		if b, ok = p.value(member, rest[1:]); !ok {
			return false
		}
		if len(b) == 0 {
			return true
		}
		if b[0] != ',' {
			return false
		}
		b = b[1:]
	}
}

func (p *plain) value(member plainMember, b []byte) (rest []byte, ok bool) {
	if member&(plainEnabled|plainArchived) != 0 {
		if rest, p.truth = bytes.CutPrefix(b, []byte("true")); p.truth {
			return rest, true
		}
		return bytes.CutPrefix(b, []byte("false"))
	}
	text, rest, ok := plainText(b)
	if !ok {
		return nil, false
	}
	switch member {
	case plainTenant:
		p.Tenant = string(text)
	case plainEnvironment:
		p.Environment = string(text)
	case plainKey:
		p.key = string(text)
	default:
		p.reason = string(text)
	}
	return rest, true
}

// plainText cuts a text in quotes off the front, if it stands there as it is meant.
func plainText(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		if b[i] == '"' {
			return b[1:i], b[i+1:], true
		}
		if !plainByte(b[i]) {
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// plainByte tells whether a byte of a text stands for itself in JSON.
func plainByte(c byte) bool { return c >= ' ' && c <= '~' && c != '"' && c != '\\' }

// encodePlain is the body of a command; false means that the library has to write it.
func encodePlain(c Command) ([]byte, bool) {
	var p plain
	switch c := c.(type) {
	case SetEnabled:
		p = plain{Scope: c.Scope, key: c.Key, truth: c.Enabled, has: plainEnabled}
	case SetArchived:
		p = plain{Scope: c.Scope, key: c.Key, truth: c.Archived, has: plainArchived}
	case Kill:
		p = plain{Scope: c.Scope, key: c.Key, reason: c.Reason}
	case Unkill:
		p = plain{Scope: c.Scope, key: c.Key}
	default:
		return nil, false
	}
	for _, text := range [...]string{p.Tenant, p.Environment, p.key, p.reason} {
		for i := range len(text) {
			if !plainByte(text[i]) {
				return nil, false
			}
		}
	}
	return p.write(), true
}

func (p *plain) write() []byte {
	b := append(make([]byte, 0, 64+len(p.Tenant)+len(p.Environment)+len(p.key)+len(p.reason)), '{')
	member := func(name, text string) {
		b = append(append(append(append(append(b, '"'), name...), `":"`...), text...), `",`...)
	}
	if p.Tenant != "" {
		member("tenant", p.Tenant)
	}
	if p.Environment != "" {
		member("environment", p.Environment)
	}
	member("key", p.key)
	if p.reason != "" {
		member("reason", p.reason)
	}
	switch {
	case p.has == 0:
		b = b[:len(b)-1]
	case p.has == plainEnabled:
		b = append(b, `"enabled":`...)
	default:
		b = append(b, `"archived":`...)
	}
	switch {
	case p.has == 0:
	case p.truth:
		b = append(b, "true"...)
	default:
		b = append(b, "false"...)
	}
	return append(b, '}')
}
