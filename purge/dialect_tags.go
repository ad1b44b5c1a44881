package purge

import (
	"net/http"
	"slices"
	"strings"

	"surrogate/store"
)

// Fields that carry lists of tags. Those in softFields always ask for a soft
// purge, as they do where they come from (Ibexa and eZ on vmod_xkey).
var (
	hardFields = []string{"Surrogate-Key", "Surrogate-Keys", "Xkey", "Xkey-Purge", "Cache-Tag", "Cache-Tags", "X-Cache-Tags"}
	softFields = []string{"Xkey-Softpurge", "Key"}
)

// tagRequests reads a purge by lists of tags: at most one hard and one soft.
// Lists are split at white space and commas, several lines joined. listed is
// false when there is no such field, so that the method means something else.
func tagRequests(method string, h http.Header) (requests []Request, listed bool, err error) {
	hardOf, softOf := hardFields, softFields
	switch strings.ToUpper(method) {
	case "PURGE":
	case "PURGEKEYS":
		hardOf, softOf = []string{"Xkey-Purge", "Xkey"}, []string{"Xkey-Softpurge"}
	case "PURGETAGS":
		hardOf, softOf = []string{"X-Cache-Tags"}, nil
	case "BAN": // in TYPO3's dialect; its other fields are predicates
		hardOf, softOf = []string{"Xkey-Purge", "Xkey"}, []string{"Xkey-Softpurge"}
	default:
		return nil, false, nil
	}
	hard, inHard := tagsIn(h, hardOf)
	soft, inSoft := tagsIn(h, softOf)
	if !inHard && !inSoft {
		return nil, false, nil
	}
	if len(hard)+len(soft) == 0 {
		return nil, true, malformed("the field " + firstField(h, slices.Concat(hardOf, softOf)) + " names no tag")
	}
	var ps problems
	for _, t := range slices.Concat(hard, soft) {
		if err := store.CheckTag(t); err != nil {
			ps.add("", err.Error(), "")
		}
	}
	if err := ps.err(); err != nil {
		return nil, true, err
	}
	if wantsSoft(h) {
		hard, soft = nil, append(hard, soft...)
	}
	if len(soft) > 0 {
		requests = append(requests, Request{Tags: soft, Soft: true})
	}
	if len(hard) > 0 {
		requests = append(requests, Request{Tags: hard})
	}
	return requests, true, nil
}

// tagsIn returns the tags in the fields, and whether any of the fields is
// there.
func tagsIn(h http.Header, fields []string) (tags []string, present bool) {
	for _, f := range fields {
		if vs, ok := h[f]; ok {
			present = true
			tags = append(tags, store.SplitTags(vs)...)
		}
	}
	return tags, present
}

func firstField(h http.Header, fields []string) string {
	for _, f := range fields {
		if _, ok := h[f]; ok {
			return f
		}
	}
	return ""
}
