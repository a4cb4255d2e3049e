package bus

import (
	"strconv"
	"strings"
)

// maxReplies bounds a replySet. The server keeps at hand where 512 subjects lead, for each stream; to find it anew for a
// subject of its own would be a twelfth of what an append costs NATS.
const maxReplies = 128

// A replySet is the reply subjects of a shard. Confirmations of first attempts come to a few that are used in turn: one
// is lent to another append only after its answer has come, so that no answer can be taken for another's. An attempt that
// finds none, and any that is not the first, has a subject of its own, which names the append by its token.
//
// All subjects are prefix and one token: t<token> or s<generation>-<number>.
type replySet struct {
	// Set by open, then constant.
	prefix string // with the full stop

	// Guarded by appender.mu.
	generation uint64
	subjects   []string         // by number
	lent       []*pendingAppend // by number; nil = free
	free       []int            // numbers; the last is lent next, so that few are in use
}

func (r *replySet) open(prefix string) {
	r.prefix = prefix
	r.subjects = make([]string, maxReplies)
	r.lent = make([]*pendingAppend, maxReplies)
	r.free = make([]int, 0, maxReplies)
	r.renew()
}

// renew gives every subject another name: answers to the old ones may not come, or come late.
func (r *replySet) renew() {
	r.generation++
	names := r.prefix + "s" + strconv.FormatUint(r.generation, 36) + "-"
	r.free = r.free[:0]
	for i := range r.subjects {
		r.subjects[i], r.lent[i] = names+strconv.Itoa(i), nil
		r.free = append(r.free, i)
	}
}

// lend returns a subject at which nothing but the answer to p will come, empty when all are lent.
func (r *replySet) lend(p *pendingAppend) string {
	last := len(r.free) - 1
	if last < 0 {
		return ""
	}
	i := r.free[last]
	r.free, r.lent[i] = r.free[:last], p
	return r.subjects[i]
}

// giveBack takes the subject of an answer back and returns whom it was lent to, nil when it was not, or has been renewed.
func (r *replySet) giveBack(subject string) *pendingAppend {
	i, err := strconv.Atoi(subject[strings.LastIndexByte(subject, '-')+1:])
	if err != nil || i < 0 || i >= len(r.subjects) || r.subjects[i] != subject || r.lent[i] == nil {
		return nil
	}
	p := r.lent[i]
	r.lent[i], r.free = nil, append(r.free, i)
	return p
}

// own is the subject of an append's own.
func (r *replySet) own(token uint64) string {
	return r.prefix + "t" + strconv.FormatUint(token, 36)
}

// tokenOf reads a subject that own has made.
func (r *replySet) tokenOf(subject string) (token uint64, ok bool) {
	if subject[len(r.prefix)] != 't' {
		return 0, false
	}
	token, err := strconv.ParseUint(subject[len(r.prefix)+1:], 36, 64)
	return token, err == nil
}
