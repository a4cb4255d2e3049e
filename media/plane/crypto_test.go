package plane

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// TestContextAgreesWithPion has both encrypt the same: RTP with and without extensions, in order, across the end of a
// cycle of numbers, and RTCP. The bytes must be the same, and be
// read again.
func TestContextAgreesWithPion(t *testing.T) {
	for name, c := range map[string]struct {
		size    int // of the master key
		profile srtp.ProtectionProfile
	}{
		"128 bits": {16, srtp.ProtectionProfileAeadAes128Gcm},
		"256 bits": {32, srtp.ProtectionProfileAeadAes256Gcm},
	} {
		t.Run(name, func(t *testing.T) {
			key, salt := sequence(c.size, 3), sequence(saltSize, 100)
			theirs, err := srtp.CreateContext(key, salt, c.profile)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := newContext(key, salt)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				checkRTP(t, ours, theirs, uint64(0xfffb+i), sequence(40*i, byte(i)))
				checkRTCP(t, ours, theirs, append([]byte{0x81, 206, 0, byte(1 + i), 1, 2, 3, byte(i % 2)}, sequence(4*i, 9)...))
			}
		})
	}
}

func checkRTP(t *testing.T, ours *srtpContext, theirs *srtp.Context, index uint64, payload []byte) {
	t.Helper()
	header := rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(index), Timestamp: 7, SSRC: 0xa1b2c3d4, Marker: index%2 == 0}
	if index%3 == 0 {
		if err := header.SetExtension(5, []byte{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := header.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want, err := theirs.EncryptRTP(nil, append(bytes.Clone(raw), payload...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := ours.sealRTP(raw, payload, index); !bytes.Equal(got, want) {
		t.Errorf("index %d: %x; want %x", index, got, want)
	}
	if got, ok := ours.openRTP(nil, want, len(raw), index); !ok || !bytes.Equal(got, append(bytes.Clone(raw), payload...)) {
		t.Errorf("index %d opens to %x, %v", index, got, ok)
	}
	if _, ok := ours.openRTP(nil, want, len(raw), index+1<<16); ok {
		t.Errorf("index %d opens as another", index)
	}
}

func checkRTCP(t *testing.T, ours *srtpContext, theirs *srtp.Context, packet []byte) {
	t.Helper()
	got, index, ok := ours.sealRTCP(nil, packet)
	theirs.SetIndex(uint32(packet[4])<<24|uint32(packet[5])<<16|uint32(packet[6])<<8|uint32(packet[7]), index-1) // it counts by SSRC
	want, err := theirs.EncryptRTCP(nil, packet, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !ok || !bytes.Equal(got, want) {
		t.Errorf("index %d: %x, %v; want %x", index, got, ok, want)
	}
	plain, opened, ok := ours.openRTCP(nil, want)
	if !ok || opened != index || !bytes.Equal(plain, packet) {
		t.Errorf("index %d opens to %x, %d, %v", index, plain, opened, ok)
	}
	want[1] ^= 1
	if _, _, ok := ours.openRTCP(nil, want); ok {
		t.Error("a header that was changed is taken")
	}
}

// sequence is bytes that differ.
func sequence(size int, first byte) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// TestSessionKeys are the keys of RFC 3711 appendix B.3.
func TestSessionKeys(t *testing.T) {
	master, err := aes.NewCipher(mustHex(t, "E1F97A0D3E018BE0D64FA32C06DE4139"))
	if err != nil {
		t.Fatal(err)
	}
	salt := mustHex(t, "0EC675AD498AFEEBB6960B3AABE6")
	for label, want := range map[byte]string{labelRTP: "C61E7A93744F39EE10734AFE3FF7A087", labelRTPSalt: "30CBBC08863D8C85D49DB34A9AE1"} {
		if got, want := derive(master, salt, label, len(want)/2), mustHex(t, want); !bytes.Equal(got, want) {
			t.Errorf("label %d: %x; want %x", label, got, want)
		}
	}
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestContextRefuses(t *testing.T) {
	for name, c := range map[string]struct{ key, salt int }{"key": {15, saltSize}, "salt": {16, saltSize + 2}} {
		if _, err := newContext(make([]byte, c.key), make([]byte, c.salt)); err == nil {
			t.Errorf("a %s of the wrong length is taken", name)
		}
	}
	s, err := newContext(make([]byte, 16), make([]byte, saltSize))
	if err != nil {
		t.Fatal(err)
	}
	s.index = mostRTCP - 1
	report := []byte{0x80, 201, 0, 1, 0, 0, 0, 9}
	if _, index, ok := s.sealRTCP(nil, report); !ok || index != mostRTCP {
		t.Errorf("the last index is %d, %v", index, ok)
	}
	if _, index, ok := s.sealRTCP(nil, report); ok {
		t.Errorf("index %d of a key that has none left", index)
	}
}
