package fsm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// The text of a token is hst_<kind>_<id>_<secret><check>: hst_srv_, an id of twelve, and then 43 characters that nobody else knows, about
// 256 bits, and 6 that say whether it was copied whole. All are letters and digits, so a double click takes it.
const (
	credentialPrefix = "hst_"
	credentialKindAt = len(credentialPrefix)
	credentialIDAt   = credentialKindAt + 3 + 1
	credentialBodyAt = credentialIDAt + tokenIDLength + 1
	credentialSecret = 43
	credentialCheck  = 6
	credentialLength = credentialBodyAt + credentialSecret + credentialCheck
)

// TokenIDLength and TokenSecretLength are how many letters and digits an id and a secret have.
const (
	TokenIDLength     = tokenIDLength
	TokenSecretLength = credentialSecret
)

// Alphabet is what ids and secrets are made of.
const Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// FormatCredential is the text of a token: its kind, its id and its secret, with the check at the end.
func FormatCredential(kind TokenKind, id, secret string) string {
	text := credentialPrefix + string(kind) + "_" + id + "_" + secret
	check := credentialChecksum(text)
	return text + string(check[:])
}

// ParseCredential reads kind and id out of the text of a token, and finds out whether it was cut or mistyped before
// anybody looks for it. It does not know whether there is such a token.
func ParseCredential(text string) (kind TokenKind, id string, err error) {
	if len(text) < len(credentialPrefix) || text[:len(credentialPrefix)] != credentialPrefix {
		return "", "", errors.New("a token begins with " + credentialPrefix)
	}
	if len(text) != credentialLength {
		return "", "", fmt.Errorf("a token has %d characters, this has %d: it was cut, or more was copied with it", credentialLength, len(text))
	}
	check := credentialChecksum(text[:credentialLength-credentialCheck])
	if text[credentialLength-credentialCheck:] != string(check[:]) {
		return "", "", errors.New("the end of the token does not fit the rest: a character was changed; copy it again")
	}
	kind = TokenKind(text[credentialKindAt : credentialIDAt-1])
	if !slices.Contains(TokenKinds(), kind) || text[credentialIDAt-1] != '_' || text[credentialBodyAt-1] != '_' {
		return "", "", errors.New("a token reads hst_KIND_ID_SECRET, where KIND is adm, srv, cli, edg or brk")
	}
	return kind, text[credentialIDAt : credentialIDAt+tokenIDLength], nil
}

// CredentialID is the id in the text of a token, by its place alone; empty when the text has another length. Whoever then
// finds the digest of that token equal needs no ParseCredential, which says what is wrong with a text.
func CredentialID(text string) string {
	if len(text) != credentialLength {
		return ""
	}
	return text[credentialIDAt : credentialIDAt+tokenIDLength]
}

// CredentialDigest is what is stored of a token: the SHA-256 of its text. The secret has about 256 random bits, so a slow
// hash would add nothing.
func CredentialDigest(text string) [32]byte {
	var b [credentialLength]byte
	if len(text) == len(b) {
		copy(b[:], text)
		return sha256.Sum256(b[:]) // without a copy on the heap, on the way of every evaluation
	}
	return sha256.Sum256([]byte(text))
}

// credentialChecksum is the CRC-32 (IEEE 802.3) of the text in six digits of base 62. The loop is written out because the
// library's would put a copy of every token on the heap.
func credentialChecksum(text string) (check [credentialCheck]byte) {
	n := ^uint32(0)
	for i := range len(text) {
		n = crc32.IEEETable[byte(n)^text[i]] ^ n>>8
	}
	n = ^n
	for i := len(check) - 1; i >= 0; i-- {
		check[i] = Alphabet[n%62]
		n /= 62
	}
	return check
}
