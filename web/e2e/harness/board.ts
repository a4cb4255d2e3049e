import { similarity } from './ssim';
import type { Person } from './person';

/**
 * A screen of moving text in the place of the one that Chromium makes up. Each picture bears its number in black and
 * white blocks, so that whoever receives it knows which one it is, draws it again, and compares.
 */
export interface Board {
  /** The number of the picture drawn last; it begins anew after 4,096. */
  drawn: number;
  /** What a participant's screen shows at this moment, null while there is no picture that can be told by its number. */
  take(participant: string): Taken | null;
  /**
   * Waits for the first new picture of a participant's screen, then for so many milliseconds. Rejects when none comes
   * within 30 s.
   */
  follow(participant: string, forMs: number): Promise<Followed>;
}

/** One received picture and the same one as it was drawn: luminance (BT.601), one byte per pixel, in base64. */
export interface Taken {
  readonly number: number;
  readonly width: number;
  readonly height: number;
  readonly received: string;
  readonly drawn: string;
}

export interface Followed {
  /** From the beginning, or from when the person was in the room if that was later, to the first picture; milliseconds. */
  readonly firstAfterMs: number;
  readonly pictures: number;
  readonly first: Taken | null;
  /** The newest one at the end of the time. */
  readonly last: Taken | null;
}

declare global {
  var board: Board;
}

/** Runs in every page before its own code, so it is complete in itself. getDisplayMedia then delivers the board. */
export function installBoard(): void {
  const width = 1280;
  const height = 720;
  /** Pixels from one picture to the next, of which there are ten a second. */
  const step = 4;
  const lineHeight = 20;
  // One block is what VP9 looks at in one piece: when two of one piece changed places, it would see no change.
  const block = 64;
  const blocks = 16;
  const source = [
    'func (r *Room) admit(ctx context.Context, m *Member) error {',
    '    if r.locked && !m.Knocked {',
    '        return &wire.Error{Code: wire.CodeRoomLocked, Text: "the room is locked"}',
    '    }',
    '    for _, other := range r.members { // everybody learns of it at once',
    '        other.outbox.Put(presence(m, "joined"))',
    '    }',
    '    r.members[m.ID], r.joined = m, time.Now()',
    '    return r.log.Append(ctx, m.ID, record{Kind: 7, Seq: r.seq + 1, Size: 1_024})',
    '}',
    '',
    '// window keeps the newest 256 messages; 0x7f marks the end of one.',
    'const window = 256 + 8*iota',
  ];
  const colours = ['#e6e1dc', '#a5c261', '#cc7833', '#6d9cbe', '#bc9458'];

  const canvasOf = (w: number, h: number): CanvasRenderingContext2D => {
    const brush = Object.assign(document.createElement('canvas'), { width: w, height: h }).getContext('2d', { willReadFrequently: true });
    if (!brush) throw new Error('no canvas');
    return brush;
  };

  /** Twelve bits of the number, and four by which one that was read amiss is known. */
  const codeOf = (number: number): number => (number & 0xfff) | ((((number ^ (number >> 4) ^ (number >> 8)) & 0xf) ^ 0x5) << 12);
  const left = width - blocks * block;

  const draw = (brush: CanvasRenderingContext2D, number: number): void => {
    brush.fillStyle = '#1e1f22';
    brush.fillRect(0, 0, width, height);
    brush.font = '15px monospace';
    brush.textBaseline = 'middle';
    const moved = number * step;
    for (let row = 0; row <= height / lineHeight; row++) {
      const line = Math.floor(moved / lineHeight) + row;
      const y = (row + 0.5) * lineHeight - (moved % lineHeight);
      brush.fillStyle = '#6b6f76';
      brush.fillText(String(line).padStart(5), 12, y);
      brush.fillStyle = colours[line % colours.length] ?? '';
      brush.fillText(source[line % source.length] ?? '', 84, y);
    }
    const code = codeOf(number);
    for (let bit = 0; bit < blocks; bit++) {
      brush.fillStyle = (code >> bit) & 1 ? '#fff' : '#000';
      brush.fillRect(left + block * bit, 0, block, block);
    }
  };

  const read = (brush: CanvasRenderingContext2D): number | null => {
    const scale = brush.canvas.width / width;
    let code = 0;
    for (let bit = 0; bit < blocks; bit++) {
      const { data } = brush.getImageData(Math.floor((left + block * (bit + 0.5)) * scale), Math.floor(block * 0.5 * scale), 1, 1);
      if ((data[1] ?? 0) > 127) code |= 1 << bit;
    }
    const number = code & 0xfff;
    return code === codeOf(number) ? number : null;
  };

  const luminance = (brush: CanvasRenderingContext2D): string => {
    const { data } = brush.getImageData(0, 0, brush.canvas.width, brush.canvas.height);
    let text = '';
    for (let at = 0; at < data.length; at += 4) {
      text += String.fromCharCode(Math.round(0.299 * (data[at] ?? 0) + 0.587 * (data[at + 1] ?? 0) + 0.114 * (data[at + 2] ?? 0)));
    }
    return btoa(text);
  };

  const copy = (video: HTMLVideoElement): CanvasRenderingContext2D => {
    const brush = canvasOf(video.videoWidth, video.videoHeight);
    brush.drawImage(video, 0, 0);
    return brush;
  };

  const compared = (received: CanvasRenderingContext2D): Taken | null => {
    const number = read(received);
    if (number === null) return null;
    const drawn = canvasOf(width, height);
    draw(drawn, number);
    return { number, width: received.canvas.width, height: received.canvas.height, received: luminance(received), drawn: luminance(drawn) };
  };

  const screenOf = (participant: string): HTMLVideoElement | null =>
    document.querySelector<HTMLVideoElement>(`[data-testid="tile"][data-participant="${participant}"][data-source="screen"] video`);

  /** Resolves with the first truthy answer; asks all the time, since what is waited for is timed. */
  const found = <T>(ask: () => T | null): Promise<T> =>
    new Promise((resolve, reject) => {
      const end = performance.now() + 30_000;
      const look = (): void => {
        const answer = ask();
        if (answer !== null) resolve(answer);
        else if (performance.now() > end) reject(new Error('nothing to follow within 30 s'));
        else setTimeout(look, 10);
      };
      look();
    });

  const follow = async (participant: string, forMs: number): Promise<Followed> => {
    await found(() => document.querySelector('[data-testid="stage"]'));
    const begin = performance.now();
    const video = await found(() => screenOf(participant));
    let [first, last, pictures, firstAt] = [null as CanvasRenderingContext2D | null, null as CanvasRenderingContext2D | null, 0, 0];
    let over = false;
    const next = (now: number): void => {
      if (over) return;
      if (pictures++ === 0) firstAt = now;
      last = copy(video);
      first ??= last;
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
    await found(() => first);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, firstAt + forMs - performance.now())));
    over = true;
    return { firstAfterMs: Math.round(firstAt - begin), pictures, first: first && compared(first), last: last && compared(last) };
  };

  const board: Board = {
    drawn: 0,
    follow,
    take(participant) {
      const video = screenOf(participant);
      return video && video.videoWidth > 0 ? compared(copy(video)) : null;
    },
  };
  globalThis.board = board;

  const film = (): MediaStreamTrack => {
    const brush = canvasOf(width, height);
    const [track] = brush.canvas.captureStream(0).getVideoTracks();
    if (!track) throw new Error('no picture');
    const timer = setInterval(() => {
      if (track.readyState === 'ended') return clearInterval(timer);
      board.drawn = (board.drawn + 1) & 0xfff;
      draw(brush, board.drawn);
      (track as CanvasCaptureMediaStreamTrack).requestFrame();
    }, 100);
    return track;
  };
  const hum = (): MediaStreamTrack[] => {
    const context = new AudioContext();
    const output = context.createMediaStreamDestination();
    const tone = context.createOscillator();
    tone.connect(output);
    tone.start();
    return output.stream.getAudioTracks();
  };
  // An empty page, which is there before the app's, has no devices.
  if (navigator.mediaDevices) {
    navigator.mediaDevices.getDisplayMedia = (options) => Promise.resolve(new MediaStream([film(), ...(options?.audio ? hum() : [])]));
  }
}

/** How much a received picture is like the one that was drawn: see `similarity`. 0 = no picture, or one of another size. */
export function likeness(taken: Taken | null): number {
  if (taken?.width !== 1280 || taken.height !== 720) return 0;
  const { width, height } = taken;
  const of = (text: string): { width: number; height: number; values: Uint8Array } => ({ width, height, values: Buffer.from(text, 'base64') });
  return similarity(of(taken.received), of(taken.drawn));
}

export const takeScreen = (viewer: Person, participant: string): Promise<Taken | null> =>
  viewer.page.evaluate((id) => globalThis.board.take(id), participant);

export const followScreen = (viewer: Person, participant: string, forMs: number): Promise<Followed> =>
  viewer.page.evaluate(({ id, ms }) => globalThis.board.follow(id, ms), { id: participant, ms: forMs });
