/**
 * Networks that let less through, as scripts that run in the pages before any of their own code. Each is one function
 * without anything from outside of it.
 */

/** Nothing but a relay: every connection has the policy for it, whatever the app says. */
export function relayOnly(): void {
  const limited = (configuration?: RTCConfiguration): RTCConfiguration => ({ ...configuration, iceTransportPolicy: 'relay' });
  globalThis.RTCPeerConnection = new Proxy(RTCPeerConnection, {
    construct(target, [configuration], newTarget) {
      const connection = Reflect.construct(target, [limited(configuration as RTCConfiguration | undefined)], newTarget) as RTCPeerConnection;
      const set = connection.setConfiguration.bind(connection);
      connection.setConfiguration = (changed) => set(limited(changed));
      return connection;
    },
  });
}

/** No UDP: neither side hears of a candidate for it. */
export function tcpOnly(): void {
  const isUDP = (candidate: string): boolean => / udp /i.test(candidate);
  const without = (sdp: string): string =>
    sdp.split('\r\n').filter((line) => !line.startsWith('a=candidate:') || !isUDP(line)).join('\r\n');
  const original = <K extends 'localDescription' | 'onicecandidate'>(name: K): PropertyDescriptor => {
    const found = Object.getOwnPropertyDescriptor(RTCPeerConnection.prototype, name);
    if (!found) throw new Error(`no ${name}`);
    return found;
  };
  const described = original('localDescription');
  const found = original('onicecandidate');
  globalThis.RTCPeerConnection = new Proxy(RTCPeerConnection, {
    construct(target, args, newTarget) {
      const connection = Reflect.construct(target, args, newTarget) as RTCPeerConnection;
      Object.defineProperty(connection, 'localDescription', {
        get: () => {
          const whole = described.get?.call(connection) as RTCSessionDescription | null;
          return whole && new RTCSessionDescription({ type: whole.type, sdp: without(whole.sdp) });
        },
      });
      Object.defineProperty(connection, 'onicecandidate', {
        set: (listener: ((event: RTCPeerConnectionIceEvent) => void) | null) =>
          found.set?.call(connection, listener && ((event: RTCPeerConnectionIceEvent) => {
            if (!isUDP(event.candidate?.candidate ?? '')) listener.call(connection, event);
          })),
      });
      const take = connection.setRemoteDescription.bind(connection);
      connection.setRemoteDescription = (description: RTCSessionDescriptionInit) => take({ type: description.type, sdp: without(description.sdp ?? '') });
      const add = connection.addIceCandidate.bind(connection);
      connection.addIceCandidate = (candidate?: RTCIceCandidateInit | null) =>
        isUDP(candidate?.candidate ?? '') ? Promise.resolve() : add(candidate ?? undefined);
      return connection;
    },
  });
}

/** One way alone: by UDP to the address that the server announces. The server hears of no address to try by itself. */
export function announcedOnly(): void {
  const without = (sdp: string, hidden: (candidate: string) => boolean): string =>
    sdp.split('\r\n').filter((line) => !line.startsWith('a=candidate:') || !hidden(line)).join('\r\n');
  const isTCP = (candidate: string): boolean => / tcp /i.test(candidate);
  const original = <K extends 'localDescription' | 'onicecandidate'>(name: K): PropertyDescriptor => {
    const found = Object.getOwnPropertyDescriptor(RTCPeerConnection.prototype, name);
    if (!found) throw new Error(`no ${name}`);
    return found;
  };
  const described = original('localDescription');
  const found = original('onicecandidate');
  globalThis.RTCPeerConnection = new Proxy(RTCPeerConnection, {
    construct(target, args, newTarget) {
      const connection = Reflect.construct(target, args, newTarget) as RTCPeerConnection;
      Object.defineProperty(connection, 'localDescription', {
        get: () => {
          const whole = described.get?.call(connection) as RTCSessionDescription | null;
          return whole && new RTCSessionDescription({ type: whole.type, sdp: without(whole.sdp, () => true) });
        },
      });
      Object.defineProperty(connection, 'onicecandidate', {
        set: (listener: ((event: RTCPeerConnectionIceEvent) => void) | null) =>
          found.set?.call(connection, listener && ((event: RTCPeerConnectionIceEvent) => {
            if (!event.candidate?.candidate) listener.call(connection, event);
          })),
      });
      const take = connection.setRemoteDescription.bind(connection);
      connection.setRemoteDescription = (description: RTCSessionDescriptionInit) =>
        take({ type: description.type, sdp: without(description.sdp ?? '', isTCP) });
      const add = connection.addIceCandidate.bind(connection);
      connection.addIceCandidate = (candidate?: RTCIceCandidateInit | null) =>
        isTCP(candidate?.candidate ?? '') ? Promise.resolve() : add(candidate ?? undefined);
      return connection;
    },
  });
}

/** A browser without AV1: it does not offer it, and answers as if it had not been offered. */
export function withoutAV1(): void {
  const capabilities = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
  RTCRtpReceiver.getCapabilities = (kind) => {
    const all = capabilities(kind);
    return all && { ...all, codecs: all.codecs.filter(({ mimeType }) => mimeType !== 'video/AV1') };
  };
  const without = (sdp: string): string => {
    const types = [...sdp.matchAll(/^a=rtpmap:(\d+) AV1\//gm)].map(([, type]) => String(type));
    types.push(...types.flatMap((type) => [...sdp.matchAll(new RegExp(`^a=fmtp:(\\d+) apt=${type}\\r$`, 'gm'))].map(([, rtx]) => String(rtx))));
    return types.reduce((text, type) => text
      .replaceAll(new RegExp(`^a=(rtpmap|fmtp|rtcp-fb):${type} .*\r\n`, 'gm'), '')
      .replaceAll(new RegExp(`^(m=video .*) ${type}(?= |\r)`, 'gm'), '$1'), sdp);
  };
  globalThis.RTCPeerConnection = new Proxy(RTCPeerConnection, {
    construct(target, args, newTarget) {
      const connection = Reflect.construct(target, args, newTarget) as RTCPeerConnection;
      const take = connection.setRemoteDescription.bind(connection);
      connection.setRemoteDescription = (description: RTCSessionDescriptionInit) => take({ type: description.type, sdp: without(description.sdp ?? '') });
      return connection;
    },
  });
}

/** How each connection that is open sends at present. */
export interface Way {
  readonly local: string;
  readonly remote: string;
  readonly protocol: string;
}

/** For `page.evaluate`: the pairs of candidates in use. */
export async function waysInUse(): Promise<Way[]> {
  const ways: Way[] = [];
  for (const connection of globalThis.e2e.connections) {
    if (connection.connectionState !== 'connected') continue;
    const reports = new Map<string, Record<string, unknown>>();
    (await connection.getStats()).forEach((report: Record<string, unknown>, id) => reports.set(id, report));
    for (const report of reports.values()) {
      if (report.type !== 'transport') continue;
      const pair = reports.get(String(report.selectedCandidatePairId));
      const local = reports.get(String(pair?.localCandidateId));
      const remote = reports.get(String(pair?.remoteCandidateId));
      if (local && remote) ways.push({ local: String(local.candidateType), remote: String(remote.candidateType), protocol: String(local.protocol) });
    }
  }
  return ways;
}

/** For `page.evaluate`: the addresses that this page has told others for itself. */
export function ownAddresses(): string[] {
  return globalThis.e2e.connections.flatMap((connection) =>
    [...(connection.localDescription?.sdp ?? '').matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) /gm)].map(([, address]) => address ?? ''));
}
