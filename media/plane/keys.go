package plane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"
)

// profiles are those the plane serves.
var profiles = map[dtls.SRTPProtectionProfile]srtp.ProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM: srtp.ProtectionProfileAeadAes128Gcm,
	dtls.SRTP_AEAD_AES_256_GCM: srtp.ProtectionProfileAeadAes256Gcm,
}

// overhead is what encryption adds to an RTP packet with these profiles: the tag, in bytes (RFC 7714 section 12).
// SRTCP has the index besides.
const (
	rtpOverhead  = tagSize
	rtcpOverhead = tagSize + 4
)

// hashes are those of the cipher suites whose pseudorandom function is known here (RFC 5246 section 5, RFC 5289,
// RFC 7905).
var hashes = map[dtls.CipherSuiteID]func() hash.Hash{
	dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       sha256.New,
	dtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         sha256.New,
	dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       sha512.New384,
	dtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         sha512.New384,
	dtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: sha256.New,
}

// A keyring learns the keys of one DTLS connection from what pion lets be seen of the handshake; doc.go says where.
// It stays empty where the plane cannot serve: we are the DTLS client, or another profile or suite was chosen. Its
// methods may be called concurrently.
type keyring struct {
	mu           sync.Mutex
	hello        bool                   // guarded by mu: the server hello has gone out, and what it says is usable
	serverRandom []byte                 // guarded by mu
	newHash      func() hash.Hash       // guarded by mu
	profile      srtp.ProtectionProfile // guarded by mu
	keys         *srtp.SessionKeys      // guarded by mu; nil = not known
}

// configure has a PeerConnection's handshake tell the keyring.
func (k *keyring) configure(settings *webrtc.SettingEngine) {
	settings.SetDTLSServerHelloMessageHook(k.takeServerHello)
	settings.SetDTLSKeyLogWriter(k)
}

// takeServerHello reads what we have chosen and changes nothing.
func (k *keyring) takeServerHello(hello handshake.MessageServerHello) handshake.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	random := hello.Random.MarshalFixed()
	k.serverRandom, k.hello = random[:], false
	for _, e := range hello.Extensions {
		if use, ok := e.(*extension.UseSRTP); ok && len(use.ProtectionProfiles) == 1 {
			k.profile, k.hello = profiles[use.ProtectionProfiles[0]]
		}
	}
	if hello.CipherSuiteID != nil && k.hello {
		k.newHash, k.hello = hashes[dtls.CipherSuiteID(*hello.CipherSuiteID)]
	}
	return &hello
}

// errKeyLog is not returned to anybody but pion, which logs it.
var errKeyLog = errors.New("plane: not a line of the key log")

// Write takes one line of the key log: label, client random and master secret in hexadecimal. It keeps the keys that
// follow from them and nothing else.
func (k *keyring) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 || string(fields[0]) != "CLIENT_RANDOM" {
		return 0, errKeyLog
	}
	random, err := hex.AppendDecode(nil, fields[1])
	if err != nil {
		return 0, errKeyLog
	}
	secret, err := hex.AppendDecode(nil, fields[2])
	defer clear(secret)
	if err != nil {
		return 0, errKeyLog
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.hello {
		return len(line), nil
	}
	config := srtp.Config{Profile: k.profile}
	err = config.ExtractSessionKeysFromDTLS(exporter{secret, slices.Concat(random, k.serverRandom), k.newHash}, false)
	if err != nil {
		return 0, fmt.Errorf("plane: %w", err)
	}
	k.keys = &config.Keys
	return len(line), nil
}

// contexts makes what encrypts and what decrypts from the keys, once. False: there are no keys.
func (k *keyring) contexts() (out, in *srtpContext, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		return nil, nil, false
	}
	keys := k.keys
	k.keys = nil // a second context with these keys would begin again with their nonces
	out, outErr := newContext(keys.LocalMasterKey, keys.LocalMasterSalt)
	in, inErr := newContext(keys.RemoteMasterKey, keys.RemoteMasterSalt)
	return out, in, outErr == nil && inErr == nil // an error is a key of the wrong length, which the exporter has prevented
}

// An exporter is the keying material exporter of a DTLS connection (RFC 5705 section 4).
type exporter struct {
	secret  []byte // the master secret
	randoms []byte // the client's, then the server's
	newHash func() hash.Hash
}

// ExportKeyingMaterial implements srtp.KeyingMaterialExporter. There is no context in DTLS-SRTP (RFC 5764 section 4.2).
func (e exporter) ExportKeyingMaterial(label string, _ []byte, length int) ([]byte, error) {
	return prf.PHash(e.secret, append([]byte(label), e.randoms...), length, e.newHash)
}
