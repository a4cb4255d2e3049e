package plane

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"reflect"
	"unsafe"

	"confab/media/prefetch"
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
	tagSize  = 16        // bytes: the same
	mostRTCP = 1<<31 - 1 // index of SRTCP (RFC 3711 section 3.4)
	eFlag    = 1 << 31   // beside it: the packet is encrypted
	mostRTP  = 1<<48 - 1 // index of SRTP (RFC 3711 section 3.3.1)
)

// A srtpContext encrypts, or decrypts, what is sent with one master key, by AES-GCM (RFC 7714). Which packets there have
// been is for the caller to know. pion's context does both, but finds out from each packet what is known here already. It
// is not safe for concurrent use.
type srtpContext struct {
	rtp, rtcp         cipher.AEAD
	rtpSalt, rtcpSalt [saltSize]byte
	index             uint32         // of the last packet of RTCP that was encrypted, of any SSRC
	key               unsafe.Pointer // what rtp holds, for prefetch alone; nil = it is no pointer

	nonce [saltSize]byte // scratch, as is the following
	bound [rtcpHeader + 4]byte
}

// newContext derives the session keys. The error is a key or a salt of the wrong length.
func newContext(key, salt []byte) (*srtpContext, error) {
	if len(salt) != saltSize {
		return nil, fmt.Errorf("plane: a master salt of %d bytes", len(salt))
	}
	master, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("plane: the master key: %w", err)
	}
	s := &srtpContext{}
	if s.rtp, err = newGCM(derive(master, salt, labelRTP, len(key))); err != nil {
		return nil, err
	}
	if s.rtcp, err = newGCM(derive(master, salt, labelRTCP, len(key))); err != nil {
		return nil, err
	}
	if rtp := reflect.ValueOf(s.rtp); rtp.Kind() == reflect.Pointer {
		s.key = rtp.UnsafePointer()
	}
	copy(s.rtpSalt[:], derive(master, salt, labelRTPSalt, saltSize))
	copy(s.rtcpSalt[:], derive(master, salt, labelRTCPSalt, saltSize))
	return s, nil
}

// keySize is about what an AES-GCM of Go has of round keys and tables, in bytes.
const keySize = 768

// prefetchKey asks the processor for what sealRTP will look at beside s.
func (s *srtpContext) prefetchKey() { prefetch.Bytes(s.key, keySize) }

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

// openRTP appends a packet, whose header has so many bytes, to out, decrypted: the header and the payload. False: it is not
// from who has the key, or has another index.
func (s *srtpContext) openRTP(out, packet []byte, header int, index uint64) ([]byte, bool) {
	if len(packet) < header+tagSize {
		return nil, false
	}
	plain, err := s.rtp.Open(append(out, packet[:header]...), s.nonceRTP(packet, index), packet[header:], packet[:header])
	return plain, err == nil
}

// openRTCP appends a compound packet to out, decrypted, and returns its index. False: it is not from who has the key, or
// not encrypted (which would have to be negotiated, RFC 7714 section 9.3).
func (s *srtpContext) openRTCP(out, packet []byte) (plain []byte, index uint32, ok bool) {
	end := len(packet) - 4
	if end < rtcpHeader+tagSize {
		return nil, 0, false
	}
	word := binary.BigEndian.Uint32(packet[end:])
	if word&eFlag == 0 {
		return nil, 0, false
	}
	nonce := s.nonceRTCP(packet, word&^eFlag)
	plain, err := s.rtcp.Open(append(out, packet[:rtcpHeader]...), nonce, packet[rtcpHeader:end], s.bound[:])
	return plain, word &^ eFlag, err == nil
}

// sealRTP appends to a header, which is whole, its encrypted payload. header has room for it and for the tag; payload is
// not in there. Nobody may give an index twice to one SSRC.
func (s *srtpContext) sealRTP(header, payload []byte, index uint64) []byte {
	return s.rtp.Seal(header, s.nonceRTP(header, index), payload, header)
}

// nonceRTP is the nonce of a packet (RFC 7714 section 8.1).
func (s *srtpContext) nonceRTP(header []byte, index uint64) []byte {
	n := &s.nonce
	*n = s.rtpSalt
	binary.BigEndian.PutUint32(n[2:], binary.BigEndian.Uint32(n[2:])^binary.BigEndian.Uint32(header[8:]))
	binary.BigEndian.PutUint16(n[6:], binary.BigEndian.Uint16(n[6:])^uint16(index>>32))
	binary.BigEndian.PutUint32(n[8:], binary.BigEndian.Uint32(n[8:])^uint32(index))
	return n[:]
}

// sealRTCP appends a compound packet, encrypted, to out, which has room for it. False: all indices have been used.
func (s *srtpContext) sealRTCP(out, packet []byte) (sealed []byte, index uint32, ok bool) {
	if s.index == mostRTCP {
		return nil, 0, false
	}
	s.index++
	nonce := s.nonceRTCP(packet, s.index)
	sealed = s.rtcp.Seal(append(out, packet[:rtcpHeader]...), nonce, packet[rtcpHeader:], s.bound[:])
	return append(sealed, s.bound[rtcpHeader:]...), s.index, true
}

// nonceRTCP is the nonce of a compound packet (RFC 7714 section 9.1). It puts into bound what is authenticated besides:
// the header and the index.
func (s *srtpContext) nonceRTCP(packet []byte, index uint32) []byte {
	n := &s.nonce
	*n = s.rtcpSalt
	binary.BigEndian.PutUint32(n[2:], binary.BigEndian.Uint32(n[2:])^binary.BigEndian.Uint32(packet[4:]))
	binary.BigEndian.PutUint32(n[8:], binary.BigEndian.Uint32(n[8:])^index)
	copy(s.bound[:], packet[:rtcpHeader])
	binary.BigEndian.PutUint32(s.bound[rtcpHeader:], index|eFlag)
	return n[:]
}
