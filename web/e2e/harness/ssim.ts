/** Side of the square windows in which two pictures are compared, and how far one lies from the next; pixels. */
const window = 8;
const stride = 4;
/** The constants of the SSIM paper (Wang et al. 2004, section III.B) for values up to 255. */
const c1 = (0.01 * 255) ** 2;
const c2 = (0.03 * 255) ** 2;

export interface Luminance {
  readonly width: number;
  readonly height: number;
  /** One value per pixel, 0 to 255, row by row. */
  readonly values: Uint8Array;
}

/**
 * The structural similarity of two pictures of one size: the mean over all windows, 1 = the same, about 0 = nothing in
 * common. Throws when the sizes differ: a picture that was scaled is not compared.
 */
export function similarity(one: Luminance, other: Luminance): number {
  const { width, height } = one;
  if (width !== other.width || height !== other.height) {
    throw new Error(`pictures of ${width}x${height} and ${other.width}x${other.height}`);
  }
  let sum = 0;
  let count = 0;
  for (let y = 0; y + window <= height; y += stride) {
    for (let x = 0; x + window <= width; x += stride, count++) sum += inWindow(one.values, other.values, y * width + x, width);
  }
  if (count === 0) throw new Error(`a picture of ${width}x${height} holds no window`);
  return sum / count;
}

function inWindow(a: Uint8Array, b: Uint8Array, start: number, width: number): number {
  let [sumA, sumB, sumAA, sumBB, sumAB] = [0, 0, 0, 0, 0];
  for (let row = start, rows = 0; rows < window; row += width, rows++) {
    for (let at = row; at < row + window; at++) {
      const p = a[at] ?? 0;
      const q = b[at] ?? 0;
      sumA += p;
      sumB += q;
      sumAA += p * p;
      sumBB += q * q;
      sumAB += p * q;
    }
  }
  const n = window * window;
  const meanA = sumA / n;
  const meanB = sumB / n;
  const varianceA = (sumAA - n * meanA * meanA) / (n - 1);
  const varianceB = (sumBB - n * meanB * meanB) / (n - 1);
  const covariance = (sumAB - n * meanA * meanB) / (n - 1);
  return ((2 * meanA * meanB + c1) * (2 * covariance + c2)) / ((meanA ** 2 + meanB ** 2 + c1) * (varianceA + varianceB + c2));
}
