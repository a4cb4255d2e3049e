package plane

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// Labels of the session keys that follow from a master key (RFC 3711 section 4.3.2).
const (
	labelRTP      = 0
	labelRTPSalt  = 2
	labelRTCP     = 3
	labelRTCPSalt = 5
)

const (
	saltSize = 12        // bytes (RFC 7714 section 12)
	mostRTCP = 1<<31 - 1 // index of SRTCP (RFC 3711 section 3.4)
	eFlag    = 1 << 31   // beside it: the packet is encrypted
	mostRTP  = 1<<48 - 1 // index of SRTP (RFC 3711 section 3.3.1)
)

// A sealer encrypts what is sent with one master key, by AES-GCM (RFC 7714). pion's context does the same, but finds out
// from each packet what the caller knows. It is not safe for concurrent use.
type sealer struct {
	rtp, rtcp         cipher.AEAD
	rtpSalt, rtcpSalt [saltSize]byte
	index             uint32 // of the last packet of RTCP, of any SSRC

	nonce [saltSize]byte // scratch, as is the following
	bound [rtcpHeader + 4]byte
}

// newSealer derives the session keys. The error is a key or a salt of the wrong length.
func newSealer(key, salt []byte) (*sealer, error) {
	if len(salt) != saltSize {
		return nil, fmt.Errorf("plane: a master salt of %d bytes", len(salt))
	}
	master, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("plane: the master key: %w", err)
	}
	s := &sealer{}
	if s.rtp, err = newGCM(derive(master, salt, labelRTP, len(key))); err != nil {
		return nil, err
	}
	if s.rtcp, err = newGCM(derive(master, salt, labelRTCP, len(key))); err != nil {
		return nil, err
	}
	copy(s.rtpSalt[:], derive(master, salt, labelRTPSalt, saltSize))
	copy(s.rtcpSalt[:], derive(master, salt, labelRTCPSalt, saltSize))
	return s, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("plane: a session key: %w", err)
	}
	return cipher.NewGCM(block)
}

// derive makes a session key of so many bytes, with no key derivation rate (RFC 3711 sections 4.3.1 and 4.3.3; the salt
// is filled up with zeros, RFC 7714 section 11).
func derive(master cipher.Block, salt []byte, label byte, size int) []byte {
	var start [aes.BlockSize]byte
	copy(start[:], salt)
	start[7] ^= label
	key := make([]byte, size)
	cipher.NewCTR(master, start[:]).XORKeyStream(key, key)
	return key
}

// sealRTP appends to a header, which is whole, its encrypted payload. header has room for it and for the tag; payload is
// not in there. Nobody may give an index twice to one SSRC.
func (s *sealer) sealRTP(header, payload []byte, index uint64) []byte {
	n := &s.nonce
	copy(n[:2], s.rtpSalt[:])
	binary.BigEndian.PutUint32(n[2:], binary.BigEndian.Uint32(header[8:])^binary.BigEndian.Uint32(s.rtpSalt[2:]))
	binary.BigEndian.PutUint16(n[6:], uint16(index>>32)^binary.BigEndian.Uint16(s.rtpSalt[6:]))
	binary.BigEndian.PutUint32(n[8:], uint32(index)^binary.BigEndian.Uint32(s.rtpSalt[8:]))
	return s.rtp.Seal(header, n[:], payload, header)
}

// sealRTCP appends a compound packet, encrypted, to out, which has room for it. False: all indices have been used.
func (s *sealer) sealRTCP(out, packet []byte) (sealed []byte, index uint32, ok bool) {
	if s.index == mostRTCP {
		return nil, 0, false
	}
	s.index++
	n := &s.nonce
	*n = s.rtcpSalt
	binary.BigEndian.PutUint32(n[2:], binary.BigEndian.Uint32(packet[4:])^binary.BigEndian.Uint32(n[2:]))
	binary.BigEndian.PutUint32(n[8:], s.index^binary.BigEndian.Uint32(n[8:]))
	copy(s.bound[:], packet[:rtcpHeader])
	binary.BigEndian.PutUint32(s.bound[rtcpHeader:], s.index|eFlag)
	sealed = s.rtcp.Seal(append(out, packet[:rtcpHeader]...), n[:], packet[rtcpHeader:], s.bound[:])
	return append(sealed, s.bound[rtcpHeader:]...), s.index, true
}
