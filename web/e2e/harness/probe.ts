/**
 * What runs in the pages before any of their own code, so that the app needs no hook for tests. Both browsers get it,
 * so it is one function without anything from outside of it.
 */
export interface Probe {
  readonly connections: RTCPeerConnection[];
  /** Offers and answers that this page applied to itself. */
  descriptions: number;
  negotiationsNeeded: number;
  /** When frames of a video were shown, by the name under which it is watched; milliseconds. */
  readonly frames: Record<string, number[]>;
  /** What the content security policy refused. */
  readonly violations: string[];
  /** Everything that a live region said, in order. */
  readonly announcements: string[];
}

declare global {
  var e2e: Probe;
}

export function installProbe(): void {
  const probe: Probe = { connections: [], descriptions: 0, negotiationsNeeded: 0, frames: {}, violations: [], announcements: [] };
  globalThis.e2e = probe;

  document.addEventListener('securitypolicyviolation', (event) => {
    probe.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile ?? ''}:${event.lineNumber}`);
  });

  if (typeof RTCPeerConnection === 'function') {
    globalThis.RTCPeerConnection = new Proxy(RTCPeerConnection, {
      construct(target, args, newTarget) {
        const connection = Reflect.construct(target, args, newTarget) as RTCPeerConnection;
        probe.connections.push(connection);
        connection.addEventListener('negotiationneeded', () => probe.negotiationsNeeded++);
        const apply = connection.setLocalDescription.bind(connection);
        connection.setLocalDescription = (...description: [RTCLocalSessionDescriptionInit?]) => {
          probe.descriptions++;
          return apply(...description);
        };
        return connection;
      },
    });
  }

  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const element = target instanceof Element ? target : target.parentElement;
      const text = element?.closest('[aria-live], [role="status"], [role="alert"], [role="log"]')?.textContent?.trim();
      if (text && text !== probe.announcements.at(-1)) probe.announcements.push(text);
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
}
