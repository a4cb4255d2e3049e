package wire

import "testing"

// chatLine is a message as the web client sends it, 260 bytes.
const chatLine = `{"type":"chat","id":"0b6f0d0e-6f0a-4c57-9c0c-2f3f5f0f8a11","room":"daily","data":{"text":"The build is green again: the flaky test was waiting for a timer that nobody had started. I will write it up in the release notes this afternoon, with the numbers.","replyTo":4709}}`

func BenchmarkDecodeEnvelope(b *testing.B) {
	line := []byte(chatLine)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeEnvelope(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBody(b *testing.B) {
	e, err := DecodeEnvelope([]byte(chatLine))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeBody[Chat](e.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	author := ada
	head := Envelope{ID: requestID, Room: "daily", From: adaHere.ID, Author: &author, Seq: 4711, Prev: 4709, TS: sentAt}
	body := ChatRecord{Text: "The build is green again: the flaky test was waiting for a timer that nobody had started.", ReplyTo: 4709}
	b.ReportAllocs()
	for b.Loop() {
		Encode(head, body)
	}
}
