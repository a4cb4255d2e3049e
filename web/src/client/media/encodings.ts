import type { PublishMedia, Source } from '../wire';

/** What is sent to the SFU of each source, smallest first. Bits a second: enough for a good face and for sharp text. */
const bitrates: Partial<Record<Source, readonly number[]>> = {
  camera: [150_000, 500_000, 1_700_000],
  screen: [4_000_000],
};
const rids = ['q', 'h', 'f'];

/** W3C WebRTC SVC section 5.1; TypeScript does not know it yet. */
interface Scalable extends RTCRtpEncodingParameters { scalabilityMode?: string }

export const isVideo = (source: Source): boolean => bitrates[source] !== undefined;

/** Of `addTransceiver`; a camera of 1280 pixels is assumed until there is one. */
export function encodingsOf(source: Source): RTCRtpEncodingParameters[] {
  const list = bitrates[source] ?? [];
  return list.map((maxBitrate, i) => ({
    maxBitrate, ...(list.length > 1 ? { rid: rids[i], scaleResolutionDownBy: 2 ** (list.length - 1 - i) } : {}),
  }));
}

/**
 * As many sizes as make a difference: browsers drop the last encodings of a small picture, so that the largest one
 * has to be an earlier one then. Undefined = not known.
 */
function sizesFor(pixels: number | undefined, most: number): number {
  return Math.min(most, pixels === undefined || pixels >= 960 ? 3 : pixels >= 480 ? 2 : 1);
}

/**
 * Changes the parameters of a sender to what its track can give and somebody receives; returns whether that changed
 * them. Without `wanted` all is sent.
 */
export function tune(parameters: RTCRtpSendParameters, source: Source, track: MediaStreamTrack | null, wanted: PublishMedia | undefined): boolean {
  const list = bitrates[source];
  if (!list) return false;
  const before = JSON.stringify(parameters);
  const { width, height } = track?.getSettings() ?? {};
  const sizes = sizesFor(width && height ? Math.max(width, height) : undefined, list.length);
  const active = Math.min(sizes, wanted?.layers ?? sizes);
  parameters.encodings.forEach((encoding, i) => {
    encoding.active = i < active;
    encoding.maxBitrate = Math.min(list[i] ?? 0, (i === active - 1 && wanted?.bitrate) || Infinity);
    if (list.length > 1) encoding.scaleResolutionDownBy = 2 ** Math.max(0, sizes - 1 - i);
    // Whom little bandwidth is left gets fewer pictures, and none that is smaller. VP9 would pay for it with the bits of
    // four such screens: what no other picture is made from it encodes badly.
    if (source === 'screen' && parameters.codecs[0]?.mimeType === 'video/AV1') (encoding as Scalable).scalabilityMode = 'L1T3';
  });
  const sharp = track?.contentHint === 'detail' || track?.contentHint === 'text';
  parameters.degradationPreference = sharp ? 'maintain-resolution' : 'balanced';
  return JSON.stringify(parameters) !== before;
}

/**
 * Codecs of a source, best first: in simulcast VP8 is the one that all browsers send; AV1 and VP9 keep text sharp. None of
 * `avoided`, as in `AV1`, which somebody in the room cannot decode, unless nothing else is left.
 */
export function preferCodecs(transceiver: RTCRtpTransceiver, source: Source, avoided: ReadonlySet<string>): void {
  const best = source === 'screen' ? [...(av1IsSmooth ? ['video/AV1'] : []), 'video/VP9', 'video/VP8'] : ['video/VP8'];
  const rank = ({ mimeType }: RTCRtpCodec): number => (best.includes(mimeType) ? best.indexOf(mimeType) : best.length);
  const all = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs ?? [];
  const left = all.filter(({ mimeType }) => !avoided.has(mimeType.slice(6)));
  const codecs = left.some(({ mimeType }) => !/rtx|red|fec/i.test(mimeType)) ? left : [...all];
  // The order of the others is the browser's.
  transceiver.setCodecPreferences?.(codecs.sort((a, b) => rank(a) - rank(b)));
}

let av1IsSmooth = false;
/** In software too it costs no more than VP9 does, for half the bits of moving text; some devices are too slow for both. */
void globalThis.navigator?.mediaCapabilities?.encodingInfo?.({
  type: 'webrtc', video: { contentType: 'video/AV1', width: 1920, height: 1080, bitrate: 4_000_000, framerate: 30 },
}).then((info) => { av1IsSmooth = info.supported && (info.smooth || info.powerEfficient); }, () => undefined);
