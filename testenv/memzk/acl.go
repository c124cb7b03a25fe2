package memzk

import (
	"crypto/sha1"
	"encoding/base64"
	"strings"
)

// Permission bits.
const (
	permRead   = 1
	permWrite  = 2
	permCreate = 4
	permDelete = 8
	permAdmin  = 16
)

type identity struct{ scheme, id string }

// ace is one entry of an access control list.
type ace struct {
	perms int32
	id    identity
}

var openACL = []ace{{31, identity{"world", "anyone"}}}

// digest turns user:password into what an ACL holds, user:base64(sha1(user:password)).
func digest(credential string) string {
	user, _, _ := strings.Cut(credential, ":")
	sum := sha1.Sum([]byte(credential))
	return user + ":" + base64.StdEncoding.EncodeToString(sum[:])
}

// resolveACL replaces the scheme "auth" by who asks, and refuses what a real server refuses.
func resolveACL(acl []ace, who []identity) ([]ace, Code) {
	if len(acl) == 0 {
		return nil, InvalidACL
	}
	var out []ace
	for _, a := range acl {
		switch a.id.scheme {
		case "auth":
			if len(who) == 0 {
				return nil, InvalidACL
			}
			for _, id := range who {
				out = append(out, ace{a.perms, id})
			}
		case "world":
			if a.id.id != "anyone" {
				return nil, InvalidACL
			}
			out = append(out, a)
		case "digest":
			if !strings.Contains(a.id.id, ":") {
				return nil, InvalidACL
			}
			out = append(out, a)
		default:
			return nil, InvalidACL
		}
	}
	return out, 0
}

// allowed tells whether one of who has a permission.
func allowed(acl []ace, perm int32, who []identity) bool {
	for _, a := range acl {
		if a.perms&perm == 0 {
			continue
		}
		if a.id.scheme == "world" {
			return true
		}
		for _, id := range who {
			if id == a.id {
				return true
			}
		}
	}
	return false
}
