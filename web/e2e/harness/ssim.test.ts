import { describe, expect, it } from 'vitest';
import { similarity, type Luminance } from './ssim';

const size = 64;

function picture(value: (x: number, y: number) => number): Luminance {
  const values = new Uint8Array(size * size);
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) values[y * size + x] = Math.max(0, Math.min(255, Math.round(value(x, y))));
  return { width: size, height: size, values };
}

/** Strokes of three pixels, as of letters. */
const text = picture((x, y) => (x % 8 < 3 && y % 12 < 9 ? 230 : 30));
const flat = (value: number): Luminance => picture(() => value);

describe('similarity', () => {
  it('is 1 for the same picture', () => {
    expect(similarity(text, text)).toBeCloseTo(1, 10);
  });

  // With no variance what is left is (2ab + c1) / (a² + b² + c1), c1 = 6.5025.
  it.each([[100, 100, 1], [100, 110, 0.995477], [0, 255, 0.0001]])('of flat pictures of %i and %i is %f', (a, b, wanted) => {
    expect(similarity(flat(a), flat(b))).toBeCloseTo(wanted, 5);
  });

  // Of means there is no difference; the variance v is 127.5² * 64/63 and the covariance -v: (c2 - 2v) / (c2 + 2v), c2 = 58.5225.
  it('of a picture and its negative is close to -1', () => {
    const checks = picture((x, y) => ((x + y) % 2 ? 255 : 0));
    const negative = picture((x, y) => ((x + y) % 2 ? 0 : 255));
    expect(similarity(checks, negative)).toBeCloseTo(-0.996463, 5);
  });

  it('falls with noise, with blur, and when text has moved', () => {
    let state = 1;
    const noise = (): number => ((state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32 - 0.5) * 2;
    const at = ({ values }: Luminance, x: number, y: number): number => values[Math.min(size - 1, y) * size + Math.min(size - 1, x)] ?? 0;
    const noisy = (by: number): number => similarity(text, picture((x, y) => at(text, x, y) + by * noise()));
    const halved = picture((x, y) => [0, 1].flatMap((i) => [0, 1].map((j) => at(text, (x & ~1) + i, (y & ~1) + j))).reduce((a, b) => a + b) / 4);
    expect(noisy(4)).toBeGreaterThan(0.95);
    expect(noisy(60)).toBeLessThan(noisy(20));
    expect(similarity(text, halved)).toBeLessThan(0.95);
    expect(similarity(text, picture((x, y) => at(text, x + 2, y)))).toBeLessThan(0.5);
  });

  it('is not known of pictures of different sizes', () => {
    expect(() => similarity(text, { width: 32, height: 128, values: text.values })).toThrow('64x64');
    expect(() => similarity({ width: 4, height: 4, values: new Uint8Array(16) }, { width: 4, height: 4, values: new Uint8Array(16) })).toThrow('no window');
  });
});
