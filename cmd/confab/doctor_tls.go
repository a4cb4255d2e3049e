package main

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"
)

// renewBefore is how long a certificate should be good for yet: by then others have renewed theirs.
const renewBefore = 7 * 24 * time.Hour

// checkTransport looks at the certificate of the server, or whether one can be had, and at the port without TLS.
func checkTransport(ctx context.Context, s *Settings) []finding {
	var found []finding
	if s.HTTPListen != "" {
		found = append(found, checkTCP("what comes without TLS", s.HTTPListen, "--http-listen"))
	}
	if s.TLSCert != "" {
		found = append(found, checkCertificate("the server", s.TLSCert, s.TLSKey, "", "--tls-cert and --tls-key"))
	}
	for _, domain := range s.TLSDomain {
		addresses, err := net.DefaultResolver.LookupHost(ctx, domain)
		if err != nil {
			found = append(found, finding{failure, domain + " has no address, and so no certificate can be had for it", "Have its name server say that of this machine, or leave it out of --tls-domain."})
			continue
		}
		found = append(found, finding{fine, "the name " + domain + " leads to " + strings.Join(addresses, " and ") + ", where this server has to be reached at port 443, or 80 for --http-listen", ""})
	}
	return found
}

// checkCertificate looks at the files of a certificate, which is for host unless that is empty.
func checkCertificate(of, certFile, keyFile, host, flags string) finding {
	loaded, err := tls.LoadX509KeyPair(certFile, keyFile)
	switch {
	case err != nil:
		return finding{failure, "the certificate of " + of + ": " + err.Error(), "Check " + flags + "."}
	case host != "" && loaded.Leaf.VerifyHostname(host) != nil:
		return finding{failure, "the certificate of " + of + " is not for " + host, "Check " + flags + "."}
	case time.Now().After(loaded.Leaf.NotAfter):
		return finding{failure, "the certificate of " + of + " has expired", "Renew it."}
	}
	what := "the certificate of " + of + " is good until " + loaded.Leaf.NotAfter.UTC().Format(time.DateOnly)
	if time.Until(loaded.Leaf.NotAfter) < renewBefore {
		return finding{warning, what, "Renew it; the server reads it again by itself."}
	}
	return finding{fine, what, ""}
}
