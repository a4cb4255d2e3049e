package whip

import (
	"errors"
	"fmt"
	"strings"
)

// A fragment is the body of a PATCH, application/trickle-ice-sdpfrag (RFC 8840 section 9): ICE credentials and
// candidates by media section.
type fragment struct {
	ufrag, pwd string // empty = not said
	candidates []candidate
	ended      bool // no candidates follow
}

// A candidate is one line and the section that it stands in.
type candidate struct {
	mid  string // empty = not said
	line string // from "candidate:" on
}

const maxFragmentCandidates = 64

var (
	errNoLine        = errors.New("a line is neither an attribute nor a media section")
	errCredentials   = errors.New("ice-ufrag and ice-pwd are no ICE credentials")
	errManyUfrags    = errors.New("sections with different ICE credentials; use one bundle")
	errHalf          = errors.New("ice-ufrag and ice-pwd come together")
	errManyCandidate = fmt.Errorf("more than %d candidates", maxFragmentCandidates)
)

// parseFragment reads a fragment. Attributes that do not concern ICE are skipped, and so are the session's own lines
// (v, o, s, c, t), which some clients send.
//
// Errors: errNoLine, errCredentials, errManyUfrags, errHalf, errManyCandidate.
func parseFragment(text string) (*fragment, error) {
	f, mid := &fragment{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		kind, value, ok := strings.Cut(line, "=")
		switch {
		case line == "":
		case !ok || len(kind) != 1 || strings.ContainsRune(value, '\r') || strings.ContainsRune(value, 0):
			return nil, errNoLine
		case kind == "m":
			mid = ""
		case kind == "a":
			if name, id, _ := strings.Cut(value, ":"); name == "mid" {
				mid = id
			} else if err := f.take(value, mid); err != nil {
				return nil, err
			}
		case !strings.Contains("vosct", kind):
			return nil, errNoLine
		}
	}
	if (f.ufrag == "") != (f.pwd == "") {
		return nil, errHalf
	}
	return f, nil
}

// take reads one attribute of the section mid.
func (f *fragment) take(attribute, mid string) error {
	name, value, _ := strings.Cut(attribute, ":")
	switch name {
	case "ice-ufrag":
		return setCredential(&f.ufrag, value, 4)
	case "ice-pwd":
		return setCredential(&f.pwd, value, 22)
	case "candidate":
		if len(f.candidates) >= maxFragmentCandidates {
			return errManyCandidate
		}
		f.candidates = append(f.candidates, candidate{mid, attribute})
	case "end-of-candidates":
		f.ended = true
	}
	return nil
}

// setCredential notes a credential of at least so many characters (RFC 8839 section 5.4).
func setCredential(to *string, value string, least int) error {
	if len(value) < least || len(value) > 256 || strings.ContainsFunc(value, notICE) {
		return errCredentials
	}
	if *to != "" && *to != value {
		return errManyUfrags
	}
	*to = value
	return nil
}

// notICE reports whether r is no ice-char (RFC 8839 section 5.1). Two more are let pass: '-' and '_' stand in the
// credentials of clients in the field.
func notICE(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+/-_=", r)
}
