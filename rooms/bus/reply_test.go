package bus

import (
	"errors"
	"fmt"
	"testing"

	"confab/rooms"
)

// TestReplySet: a subject is lent again only when its answer has come, and never under the same name after it was
// renewed.
func TestReplySet(t *testing.T) {
	var r replySet
	r.open("inbox.2.")
	lent := map[string]*pendingAppend{}
	for i := range maxReplies {
		p := &pendingAppend{token: uint64(i)}
		subject := r.lend(p)
		if subject == "" || lent[subject] != nil {
			t.Fatalf("number %d gets %q", i, subject)
		}
		lent[subject] = p
		if _, ok := r.tokenOf(subject); ok {
			t.Fatalf("%s is taken for an append's own", subject)
		}
	}
	if subject := r.lend(&pendingAppend{}); subject != "" {
		t.Fatalf("%s is lent although all are", subject)
	}
	for subject, p := range lent {
		if r.giveBack(subject) != p || r.giveBack(subject) != nil {
			t.Fatalf("%s is not given back once", subject)
		}
		next := &pendingAppend{}
		if again := r.lend(next); again != subject {
			t.Fatalf("%s is lent, %s was free", again, subject)
		}
		lent[subject] = next
	}
	r.renew()
	for subject := range lent {
		if r.giveBack(subject) != nil {
			t.Fatalf("a late answer at %s is taken for another's", subject)
		}
	}
	for _, subject := range []string{"inbox.2.s", "inbox.2.s1", "inbox.2.s2--1", "inbox.2.s2-128", "inbox.2.s2-1", "inbox.2.s2-x"} {
		if r.giveBack(subject) != nil {
			t.Errorf("%s was lent to somebody", subject)
		}
	}
	if token, ok := r.tokenOf(r.own(1 << 40)); !ok || token != 1<<40 {
		t.Errorf("token %d, %t", token, ok)
	}
	if _, ok := r.tokenOf("inbox.2.t-"); ok {
		t.Error("a token that is none")
	}
}

// TestLateAnswer: what NATS says of an attempt counts for its append alone, also when that has been settled by another.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	b := openBus(t, Options{})
	a := b.appender
	first, second := &pendingAppend{place: place{partition: 2}, token: 1 << 32}, &pendingAppend{place: place{partition: 2}, token: 1<<32 + 1}
	var subject string
	a.mu.Lock()
	subject = a.replies[2].lend(first)
	a.pending[first.token], a.pending[second.token] = first, second
	a.mu.Unlock()

	if p, due := a.answered(2, a.replies[2].own(first.token), nil); p != first || !due {
		t.Fatalf("the answer to the second attempt: %v %t", p, due)
	}
	a.mu.Lock()
	other := a.replies[2].lend(second)
	a.mu.Unlock()
	if other == subject {
		t.Fatal("the subject of an answer that is awaited still was lent again")
	}
	if p, due := a.answered(2, subject, nil); p != first || due {
		t.Fatalf("the late answer to the first attempt: %v %t", p, due)
	}
	refusal := errors.New("no")
	if p, due := a.answered(2, other, refusal); p != second || due || !errors.Is(second.refusal, refusal) {
		t.Fatalf("a refusal: %v %t, noted %v", p, due, second.refusal)
	}
	a.mu.Lock()
	if !a.take(second) || len(a.pending) != 0 {
		t.Error("what was refused waits no more")
	}
	a.mu.Unlock()
}

// TestManyAtOnce: more than there are subjects to lend are confirmed, each as itself.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := openBus(t, Options{})
	to := timeline("many")
	l, _, stop := open1(t, b, to)
	defer stop()
	const records = 5 * maxReplies
	seqs := make(chan string, records)
	for i := range records {
		b.Append(to, fmt.Sprintf("many.%d", i), fmt.Appendf(nil, "%d", i), func(a rooms.Appended, err error) {
			seqs <- fmt.Sprintf("%d is %d, %v, %t", a.Seq, i, err, a.Duplicate)
		})
	}
	confirmed := map[string]bool{}
	for range records {
		confirmed[<-seqs] = true
	}
	for i, r := range l.await(t, records) {
		if want := fmt.Sprintf("%d is %s, <nil>, false", r.Seq, r.Payload); string(r.Payload) != fmt.Sprint(i) || !confirmed[want] {
			t.Fatalf("record %d is %s; confirmed was not %q", i, r.Payload, want)
		}
	}
}
