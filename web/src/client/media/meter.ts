let context: AudioContext | null = null;

/** Reports the amplitude of `track` (RMS, 0 to 1) every so many milliseconds until the returned function is called. */
export function measure(track: MediaStreamTrack, everyMs: number, report: (amplitude: number) => void): () => void {
  if (!globalThis.AudioContext) return () => undefined;
  context ??= new AudioContext();
  const own = context;
  // A clone, so that it goes on being measured while the track that is sent is muted.
  const probe = track.clone();
  probe.enabled = true;
  const source = own.createMediaStreamSource(new MediaStream([probe]));
  const analyser = own.createAnalyser();
  analyser.fftSize = 1024;
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    // Without a click the context may be suspended; it can be resumed once there was one.
    if (own.state === 'suspended') void own.resume().catch(() => undefined);
    analyser.getFloatTimeDomainData(samples);
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    report(Math.sqrt(sum / samples.length));
  }, everyMs);
  return () => {
    clearInterval(timer);
    source.disconnect();
    probe.stop();
    report(0);
  };
}
